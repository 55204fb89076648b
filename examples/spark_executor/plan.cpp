// SPDX-License-Identifier: Apache-2.0
// Mode PLAN: what a job will need, without its data.
#include <set>

#include "crema/spec/text_printer.hpp"
#include "engine.hpp"

using namespace crema;

namespace {

std::vector<std::string_view> types_for(const RowLayer::Top& top, bool label) {
  if (label) return {"INT", "FLOAT", "STRING"};
  if (top.format.encoded) return {"BYTES"};
  if (top.format.sample.size() == 1) return {"INT", "FLOAT", "STRING", "BYTES", "FLOATS"};
  return {"BYTES", "FLOATS"};
}

/// What has to be there for a source to be read, as far as it exists: IDX images have their labels beside them.
std::vector<std::string> files_of(const std::string& source) {
  std::vector<std::string> files = {source};
  if (name_of_file(source).find("images") != std::string::npos)
    for (const std::string& labels : detail::label_siblings(source)) files.push_back(labels);
  return files;
}

Json source(const LayerSpec& layer, Phase phase, const JobOrder& job) {
  Json out;
  out.add("phase", phase == Phase::train ? "TRAIN" : "TEST").add("layer", layer.name).add("type", layer.type);
  if (!is_row_layer(layer)) {
    const std::string path = layer.type == "Data" ? read_options<DataOptions>(layer).source : std::string();
    return out.add("source", path).add("files", files_of(path)).add("streamed", false);
  }
  const RowLayer rows = row_layer(layer);
  const Deal d = deal(job, phase, rows.batch);
  std::vector<Json> columns;
  bool encoded = false;
  for (const RowLayer::Top& top : rows.tops) {
    const Shape& s = top.format.sample;
    encoded = encoded || top.format.encoded;
    columns.push_back(Json()
                          .add("name", top.format.data)
                          .add("types", types_for(top, false))
                          .add("channels", s[0])
                          .add("height", s[1])
                          .add("width", s[2]));
    if (!top.format.label.empty())
      columns.push_back(Json().add("name", top.format.label).add("types", types_for(top, true)));
  }
  return out.add("source_class", rows.source_class)
      .add("source", rows.source)
      .add("format", rows.storage)
      .add("select", rows.select)
      .add("batch", rows.batch)
      .add("block", d.block)
      .add("first", d.first)
      .add("files", rows.is_lmdb() ? files_of(rows.source) : std::vector<std::string>())
      .add("streamed", !rows.is_lmdb())
      .add("encoded", encoded)
      .add("columns", columns);
}

class Planning {
 public:
  Planning(Host& host, const JobOrder& job, const std::string& folder)
      : host_(host),
        job_(job),
        solver_(read_job_solver(job, folder)),
        rows_(job, none_),
        options_(job_options(job, solver_, rows_)),
        train_(detail::training_net(solver_, options_)),
        test_(scored_net(solver_, options_)) {}

  void tell() {
    Json event;
    event.add("event", "plan")
        .add("max_iter", solver_.max_iter)
        .add("test_iter", solver_.test_iter)
        .add("test_interval", solver_.test_interval)
        .add("iter_size", solver_.iter_size)
        .add("snapshot", solver_.snapshot)
        .add("snapshot_prefix", name_of_file(solver_.snapshot_prefix))
        .add("solver_mode", solver_.solver_mode == SolverMode::gpu ? "GPU" : "CPU")
        .add("solver", print(whole_solver()));
    std::vector<Json> sources;
    const std::pair<const NetSpec&, Phase> nets[] = {{train_, Phase::train}, {test_, Phase::test}};
    for (const auto& [net, phase] : nets)
      for (const LayerSpec& layer : filter(net, {.phase = phase}).layers)
        if (is_row_layer(layer) || layer.type == "Data" || layer.type == "ImageData")
          sources.push_back(source(layer, phase, job_));
    event.add("sources", sources).add("blobs", blobs());
    try {
      build(event);
    } catch (const DataError& e) {  // its files may be on the executors alone
      host_.log(cat("the nets are not planned: ", e.what()), "W");
    }
    host_.say(event);
  }

 private:
  std::vector<std::string> blobs() const {
    std::vector<std::string> names;
    std::set<std::string> seen;
    for (const LayerSpec& layer : filter(test_, {.phase = Phase::test}).layers)
      for (const std::string& top : layer.top)
        if (seen.insert(top).second) names.push_back(top);
    return names;
  }

  /// With its nets inside: one file for every machine.
  SolverSpec whole_solver() const {
    SolverSpec s = solver_;
    s.snapshot_prefix = name_of_file(s.snapshot_prefix);
    for (const std::string& path : s.test_net)
      s.test_net_param.push_back(detail::read_named_net(s, path, options_));
    if (s.net) s.net_param = train_;
    if (s.train_net) s.train_net_param = train_;
    s.net.reset(), s.train_net.reset(), s.test_net.clear();
    return s;
  }

  void build(Json& event) {
    Cpu cpu({.threads = 1});
    DatasetCache cache;
    const auto train =
        build_net<float, Cpu>(cpu, train_, detail::selection(train_, Phase::train, nullptr, options_),
                              all_layers<float, Cpu>(), options_, cache);
    if (!train.source) throw SpecError("the training net has no data layer to take batches from");
    const auto test =
        build_net<float, Cpu>(cpu, test_, detail::selection(test_, Phase::test, nullptr, options_),
                              all_layers<float, Cpu>(), options_, cache, train.net->parameters());
    const auto count = train.net->parameters()->values().size();  // with the gaps between segments
    std::size_t numbers = 0;
    for (const Segment& s : train.net->parameters()->segments())
      numbers += static_cast<std::size_t>(s.shape.size());
    const auto solver = make_solver<float, Cpu>(cpu, solver_, *train.net->parameters());
    const auto names = [](const Net<float, Cpu>& net) {
      std::vector<std::string> all;
      for (const auto& o : net.outputs()) all.push_back(o.name);
      return all;
    };
    event.add("batch", train.source->batch() * solver_.iter_size)
        .add("parameters", numbers)
        .add("bytes", Json()
                          .add("weights", count * sizeof(float))
                          .add("gradients", count * sizeof(float))
                          .add("history", count * sizeof(float) * solver->histories())
                          .add("activations", train.net->activation_bytes() + test.net->activation_bytes()))
        .add("outputs", Json().add("train", names(*train.net)).add("test", names(*test.net)));
  }

  Host& host_;
  const JobOrder& job_;
  SolverSpec solver_;
  std::vector<RowStream> none_;
  Rows rows_;
  JobOptions options_;
  NetSpec train_, test_;
};

}  // namespace

void plan(Host& host, const JobOrder& job, const std::string& folder) {
  Planning(host, job, folder).tell();
  host.say(Json().add("event", "done"));
}
