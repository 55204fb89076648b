// SPDX-License-Identifier: Apache-2.0
// Mode TRAIN.
#include "crema/caffe/export.hpp"
#include "crema/comm/hierarchy.hpp"
#include "crema/comm/world.hpp"
#include "crema/train/crc32c.hpp"
#include "crema/train/json_lines.hpp"
#include "crema/train/log.hpp"
#include "engine.hpp"

#ifdef CREMA_EXECUTOR_MPI
#include "crema/comm/mpi_world.hpp"
#endif

using namespace crema;

namespace {

class Training {
 public:
  Training(Host& host, const JobOrder& job, const std::string& folder, std::vector<RowStream>& streams)
      : host_(host),
        job_(job),
        folder_(folder),
        solver_(read_job_solver(job, folder)),
        rows_(job, streams),
        started_(monotonic_seconds()) {
    std::filesystem::create_directory(folder + "/snapshots");
    if (!job.rows_of(Phase::test) && tests_on_rows()) {
      host.log("no rows for the test net: it is not tested");
      solver_.test_iter.assign(solver_.test_iter.size(), 0), solver_.test_interval = 0;
    }
    check_rows(streams);
  }

  /// Until the end, in a world with the other engines.
  void run(const WorldOrder& order, Listener listener) {
    if (job_.ranks() == 1) return run_rank(nullptr, nullptr);
    if (order.connection == Connection::tcp) {
      World world = join<World>(order, std::move(listener));
      return run_in(world, world);
    }
#ifdef CREMA_EXECUTOR_MPI
    MpiWorld world = join<MpiWorld>(order, std::move(listener));
    run_in(world, world.world());
#else
    throw SpecError(
        "this engine has no MPI: send crema_executor_mpi (docs/spark.md, \"MPI\"), or use -connection "
        "ethernet");
#endif
  }

 private:
  /// Whether a test net takes its rows from the host.
  bool tests_on_rows() {
    const JobOptions o = job_options(job_, solver_, rows_);
    const std::vector<NetSpec> nets = detail::testing_nets(solver_, o);
    for (std::size_t k = 0; k < nets.size(); ++k)
      for (const LayerSpec& layer : filter(nets[k], selection(solver_, nets[k], Phase::test, o, k)).layers)
        if (is_row_layer(layer) && !row_layer(layer).is_lmdb()) return true;
    return false;
  }

  /// All that can be wrong with this engine's data is found before the others are involved.
  void check_rows(std::vector<RowStream>& streams) {
    check_streams(job_, solver_, streams);
    const JobOptions o = job_options(job_, solver_, rows_);
    DatasetCache cache;
    const auto open = [&](const NetSpec& spec, Phase phase, std::size_t test = 0) {
      NetSpec net = filter(spec, selection(solver_, spec, phase, o, test));
      std::vector<std::string> roots = {folder_of(spec.file)};
      roots.insert(roots.end(), o.data_roots.begin(), o.data_roots.end());
      take_data_layers(net, phase, roots, cache, o.limits, o.rows);
    };
    // A parameter server trains on nothing, but its net has the shapes of all.
    if (!(job_.served() && job_.rank == 0 && job_.ranks_here == 1))
      open(detail::training_net(solver_, o), Phase::train);
    if (!(job_.served() && job_.rank > 0)) {
      const std::vector<NetSpec> tests = detail::testing_nets(solver_, o);
      for (std::size_t k = 0; k < tests.size(); ++k) open(tests[k], Phase::test, k);
    }
    std::size_t rows[2] = {}, bytes = 0;
    for (const RowStream& s : streams) {
      rows[s.phase == Phase::test] = static_cast<std::size_t>(s.table->size());
      bytes += s.table->bytes();
    }
    host_.say(Json()
                  .add("event", "ready")
                  .add("rows", rows[0])
                  .add("test_rows", rows[1])
                  .add("bytes", bytes)
                  .add("seconds", monotonic_seconds() - started_));
    started_ = monotonic_seconds();
  }

  template <class Formed>
  Formed join(const WorldOrder& order, Listener listener) {
    const WorldOptions o{.rank = job_.rank,
                         .size = job_.size,
                         .address = order.address,
                         .secret = order.secret,
                         .deadline = job_.deadline,
                         .silence = job_.silence,
                         .timeout = job_.timeout};
    try {
      if (job_.rank == 0) return Formed(o, std::move(listener));
      return Formed(o);
    } catch (const CommError& e) {
      throw NoWorld(e.what());
    }
  }
  /// The ranks of this engine in a world that stands: World, or MpiWorld with its World.
  template <class Formed>
  void run_in(Formed& formed, World& world) {
    host_.say(Json()
                  .add("event", "world")
                  .add("rank", job_.rank)
                  .add("size", job_.size)
                  .add("seconds", monotonic_seconds() - started_));
    Communicator& engines = formed.communicator();
    host_.on_silence([&](const std::string& why) { world.report(cat("rank ", job_.rank, ": ", why)); });
    try {
      if (job_.ranks_here == 1) {
        run_rank(&engines, &world);
      } else {
        HierarchicalWorld ranks(engines, job_.ranks_here);
        ranks.run([&](Communicator& comm) { run_rank(&comm, &world); });
      }
    } catch (const std::exception& e) {
      host_.on_silence({});
      engines.fail(e.what());  // before training too: the others hear why
      if (dynamic_cast<const CommError*>(&e) && others_failure(world)) throw Witnessed(world.failure());
      throw;
    }
    host_.on_silence({});
    formed.leave();
  }

  /// Whether the failure that broke the world is another engine's: its text begins with that rank's name.
  bool others_failure(const World& world) const {
    const std::string text = world.failure();
    int rank = 0;
    const std::size_t end = text.find_first_not_of("0123456789", 5);
    return text.starts_with("rank ") && parse_number(std::string_view(text).substr(5, end - 5), rank) &&
           rank != job_.rank;
  }

  void run_rank(Communicator* comm, World* world) {
    const int cores = job_.threads > 0 ? job_.threads : allowed_cores();
    Cpu cpu({.threads = std::max(1, cores / job_.ranks_here), .spin = false});
    const std::string isa(name_of(cpu.isa()));
    JobOptions o = job_options(job_, solver_, rows_);
    o.isa = isa;
    const bool first = !comm || comm->rank() == 0;
    const bool leads = !comm || comm->rank() % job_.ranks_here == 0;
    if (leads)
      o.after_step = [this, world, step = std::int64_t{0}]() mutable {
        if (world) world->set_step(++step);
        return host_.stop_wanted() ? Action::stop : Action::none;
      };
    std::unique_ptr<Strategy<float, Cpu>> strategy;
    if (comm) {
      o.shards = shards_of(*comm, job_.strategy);
      strategy = make_strategy<float, Cpu>(*comm, job_.strategy_options());
    }
    Job<float, Cpu> job(cpu, solver_, all_layers<float, Cpu>(), o, std::move(strategy));
    if (!first) {
      job.trainer().run();
      return;
    }
    JsonLines events([this](std::string_view line) { host_.write(line); }, job_.progress);
    Log log([](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); });
    job.trainer().add(events);
    job.trainer().add(log);
    start(cpu, job, isa);
    const Ending ending = job.trainer().run();
    const std::string model = folder_ + "/final.caffemodel";
    save_weights(cpu, job.net(), model);
    const auto w = job.net().parameters()->values();
    const auto sum = crc32c({reinterpret_cast<const char*>(w.data()), w.size_bytes()});
    finished_ = Json()
                    .add("event", "done")
                    .add("iteration", job.trainer().iteration())
                    .add("ending", ending == Ending::done ? "done" : "stopped")
                    .add("model", model)
                    .add("weights", sum);
  }

  /// Where rank 0 starts; the others get it from rank 0.
  void start(Cpu& cpu, Job<float, Cpu>& job, const std::string& isa) {
    if (!job_.state.empty()) {
      const SnapshotInfo info = job.trainer().resume(job_.state);
      host_.log(cat("goes on from iteration ", info.iteration));
      if (!info.isa.empty() && info.isa != isa)
        host_.log(cat("the snapshot was made with ", info.isa, ", this is ", isa,
                      ": equal results, other last bits"),
                  "W");
      return;
    }
    std::vector<std::string> weights = job_.weights;
    if (weights.empty()) weights = solver_.weights;
    for (const std::string& path : weights)
      host_.log(cat(name_of_file(path), ": ", load_weights(cpu, job.net(), path).text()));
  }

 public:
  /// The last event.
  const Json& finished() const { return finished_; }

 private:
  Host& host_;
  const JobOrder& job_;
  const std::string folder_;
  SolverSpec solver_;
  Rows rows_;
  double started_;
  Json finished_ = Json().add("event", "done");  // of ranks above 0
};

}  // namespace

void train(Host& host, const JobOrder& job, const std::string& folder, std::vector<RowStream>& streams,
           Listener listener) {
  Training training(host, job, folder, streams);
  WorldOrder order;
  if (job.ranks() > 1) order = parse_order<WorldOrder>(host.order("world", job.timeout));
  training.run(order, std::move(listener));
  host.say(training.finished());
}
