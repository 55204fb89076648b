// SPDX-License-Identifier: Apache-2.0
// Modes TEST and FEATURES: a net in phase TEST over this engine's samples, each once.
#include <cstdio>

#include "engine.hpp"

using namespace crema;

namespace {

/// Samples [first, last) of a dataset.
class PartOfDataset final : public Dataset {
 public:
  PartOfDataset(std::shared_ptr<const Dataset> all, std::int64_t first, std::int64_t last)
      : all_(std::move(all)), first_(first), last_(last) {}
  std::int64_t size() const override { return last_ - first_; }
  const Shape& sample_shape() const override { return all_->sample_shape(); }
  const std::string& name() const override { return all_->name(); }
  void read(std::int64_t i, Sample& out) const override { all_->read(first_ + i, out); }
  std::int64_t first() const { return first_; }

 private:
  std::shared_ptr<const Dataset> all_;
  std::int64_t first_, last_;
};

class Scoring {
 public:
  Scoring(Host& host, const JobOrder& job, const std::string& folder, std::vector<RowStream>& streams)
      : host_(host),
        job_(job),
        solver_(read_job_solver(job, folder)),
        rows_(job, streams),
        streams_(streams),
        cpu_({.threads = job.threads, .spin = false}) {
    check_streams(job, solver_, streams);
    JobOptions o = job_options(job, solver_, rows_);
    o.keep = job.feature;
    const NetSpec spec = scored_net(solver_, o);
    DatasetCache cache;
    net_ = build_net<float, Cpu>(cpu_, spec, selection(solver_, spec, Phase::test, o),
                                 all_layers<float, Cpu>(), o, cache);
    if (!net_.source) throw SpecError("the test net has no data layer to take samples from");
    take_part();
    for (const std::string& f : job.feature) net_.net->shape(f);  // throws for a blob that there is not
    const std::vector<std::string>& weights = job.weights.empty() ? solver_.weights : job.weights;
    for (const std::string& path : weights)
      host.log(cat(name_of_file(path), ": ", load_weights(cpu_, *net_.net, path).text()));
  }

  void run() {
    std::optional<RowWriter> back;
    if (job_.mode == Mode::features) {
      std::vector<Column> columns = {{"SampleID", ColumnType::text}};
      for (const std::string& f : job_.feature) columns.push_back({f, ColumnType::reals});
      if (streams_.empty())
        throw SpecError("features go to the host by a connection that it opens: send a stream");
      back.emplace(streams_[0].connection, Phase::test, columns);
    }
    const Step step{Phase::test, 0, 0, 0, 0, nullptr};
    std::vector<Loss> sum(net_.net->outputs().size());
    std::int64_t done = 0;
    for (;;) {
      const auto batch = net_.source->next();
      const std::int64_t n = samples(batch);
      if (n == 0) break;
      feed(*net_.net, batch);
      const std::span<const Loss> losses = net_.net->forward(step);
      for (std::size_t k = 0; k < losses.size(); ++k) sum[k] += losses[k];
      if (back) write(*back, done, n);
      done += n;
    }
    if (back) back->end();
    tell(sum);
    host_.say(Json().add("event", "done").add("iteration", 0).add("ending", "done").add("samples", done));
  }

 private:
  /// Where the data is files, all engines see all of it: each takes its part.
  void take_part() {
    if (rows_.used()) {
      table_ = streams_[0].table.get();
      return;
    }
    for (DataLayer& d : net_.data) {
      const std::int64_t n = d.dataset->size();
      auto part = std::make_shared<PartOfDataset>(d.dataset, n * job_.rank / job_.size,
                                                  n * (job_.rank + 1) / job_.size);
      first_ = part->first();
      d.dataset = part;
    }
    net_.source = make_source<float>(net_.data, Phase::test, 0);
  }

  std::string id(std::int64_t i) const {
    if (const int c = table_ ? table_->column("id") : -1; c >= 0) {
      if (table_->columns()[static_cast<std::size_t>(c)].type == ColumnType::text)
        return std::string(RowTable::text(table_->value(i, c)));
      return cat(static_cast<std::int64_t>(table_->number(i, c).value_or(0)));
    }
    char text[32];
    std::snprintf(text, sizeof text, "%08lld", static_cast<long long>(position(i)));
    return text;
  }
  std::int64_t position(std::int64_t i) const { return table_ ? table_->position(i) : first_ + i; }

  /// Rows [done, done + n): per sample its share of each blob; a blob with no share for each (accuracy) whole.
  void write(RowWriter& back, std::int64_t done, std::int64_t n) {
    values_.resize(job_.feature.size());
    for (std::size_t f = 0; f < values_.size(); ++f) {
      values_[f].resize(static_cast<std::size_t>(net_.net->shape(job_.feature[f]).size()));
      net_.net->read(job_.feature[f], values_[f]);
    }
    for (std::int64_t i = 0; i < n; ++i) {
      back.begin(position(done + i));
      back.text(id(done + i));
      for (std::size_t f = 0; f < values_.size(); ++f) {
        const Shape& s = net_.net->shape(job_.feature[f]);
        const std::span<const float> all(values_[f]);
        if (s.rank() == 0 || s[0] != n) {
          back.reals(all);
          continue;
        }
        const auto each = static_cast<std::size_t>(s.size() / n);
        back.reals(all.subspan(static_cast<std::size_t>(i) * each, each));
      }
    }
  }

  void tell(const std::vector<Loss>& sum) {
    std::vector<Json> outputs;
    for (std::size_t k = 0; k < sum.size(); ++k) {
      const auto& o = net_.net->outputs()[k];
      outputs.push_back(Json()
                            .add("name", o.name)
                            .add("value", sum[k].value())
                            .add("loss_weight", o.kind == TopPlan::loss ? o.loss_weight : 0.0)
                            .add("sum", sum[k].sum)
                            .add("weight", sum[k].weight));
    }
    host_.say(Json().add("event", "test").add("iteration", 0).add("net", 0).add("outputs", outputs));
  }

  Host& host_;
  const JobOrder& job_;
  SolverSpec solver_;
  Rows rows_;
  std::vector<RowStream>& streams_;
  Cpu cpu_;
  NetWithData<float, Cpu> net_;
  const RowTable* table_ = nullptr;  // of rows; null where the data is files
  std::int64_t first_ = 0;           // of this engine's part of the files
  std::vector<std::vector<float>> values_;
};

}  // namespace

void score(Host& host, const JobOrder& job, const std::string& folder, std::vector<RowStream>& streams) {
  Scoring(host, job, folder, streams).run();
}
