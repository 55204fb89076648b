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

/// What the engine will read itself. IDX images have their labels beside them, under one of several names.
struct Files {
  std::vector<std::string> needed, perhaps;

  void source(const std::string& path) {
    needed.push_back(path);
    if (name_of_file(path).find("images") != std::string::npos)
      for (const std::string& labels : detail::label_siblings(path)) perhaps.push_back(labels);
  }
  void mean(const TransformationOptions& t) {
    if (t.mean_file) needed.push_back(*t.mean_file);
  }
};

Files files_of(const LayerSpec& layer) {
  Files files;
  if (layer.type == "Data") {
    const auto o = read_options<DataOptions>(layer);
    files.source(o.source), files.mean(detail::transformation(layer, o));
  } else if (layer.type == "ImageData") {
    const auto o = read_options<ImageDataOptions>(layer);
    files.needed.push_back(o.source), files.mean(detail::transformation(layer, o));
    if (!o.root_folder.empty()) files.needed.push_back(o.root_folder);
  } else {
    const RowLayer rows = row_layer(layer);
    if (rows.is_lmdb()) files.source(rows.source);
    for (const RowLayer::Top& top : rows.tops) files.mean(top.transform);
  }
  return files;
}

Json source(const LayerSpec& layer, Phase phase, const JobOrder& job) {
  Json out;
  const Files files = files_of(layer);
  out.add("phase", phase == Phase::train ? "TRAIN" : "TEST").add("layer", layer.name).add("type", layer.type);
  out.add("files", files.needed).add("perhaps", files.perhaps);
  if (!is_row_layer(layer)) return out.add("source", files.needed.front()).add("streamed", false);
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
      for (const LayerSpec& layer : filter(net, selection(solver_, net, phase, options_)).layers)
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
    for (const LayerSpec& layer : filter(test_, selection(solver_, test_, Phase::test, options_)).layers)
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
    const auto train = build_net<float, Cpu>(cpu, train_, selection(solver_, train_, Phase::train, options_),
                                             all_layers<float, Cpu>(), options_, cache);
    if (!train.source) throw SpecError("the training net has no data layer to take batches from");
    const auto test =
        build_net<float, Cpu>(cpu, test_, selection(solver_, test_, Phase::test, options_),
                              all_layers<float, Cpu>(), options_, cache, train.net->parameters());
    const auto count = train.net->parameters()->values().size();  // with the gaps between segments
    std::size_t numbers = 0;
    for (const Segment& s : train.net->parameters()->segments())
      numbers += static_cast<std::size_t>(s.shape.size());
    const auto solver = make_solver<float, Cpu>(cpu, solver_, *train.net->parameters());
    const std::size_t histories = solver->histories();
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
                          .add("history", count * sizeof(float) * histories)
                          .add("activations", train.net->activation_bytes() + test.net->activation_bytes())
                          .add("snapshot", count * sizeof(float) * std::max(3 * histories, histories + 3)))
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
