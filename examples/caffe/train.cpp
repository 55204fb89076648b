// SPDX-License-Identifier: Apache-2.0
// crema train.
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "crema/caffe/export.hpp"
#include "crema/comm/hierarchy.hpp"
#include "crema/comm/world.hpp"
#include "crema/train/progress.hpp"
#include "crema/train/report.hpp"
#include "program.hpp"

using namespace crema;

namespace {

// Signals: the handlers note them, the trainer asks after every step.
volatile sig_atomic_t interrupts = 0, hangups = 0;
Cancel cancel;

void on_sigint(int) {
  interrupts = interrupts + 1;
  if (interrupts > 1) cancel.request();  // a second time: at once, without a snapshot
}
void on_sighup(int) { hangups = hangups + 1; }

Action effect_of(const std::string& name) {
  return name == "stop" ? Action::stop : name == "snapshot" ? Action::snapshot : Action::none;
}

std::function<Action()> signal_actions(const Flags& f) {
  struct sigaction s = {};
  s.sa_handler = on_sigint;
  if (f.sigint_effect != "none") sigaction(SIGINT, &s, nullptr);
  s.sa_handler = on_sighup;
  if (f.sighup_effect != "none") sigaction(SIGHUP, &s, nullptr);
  return [on_int = effect_of(f.sigint_effect), on_hup = effect_of(f.sighup_effect), seen_int = 0,
          seen_hup = 0]() mutable {
    Action action = Action::none;
    if (hangups != seen_hup) seen_hup = hangups, action = on_hup;
    if (interrupts != seen_int) {
      seen_int = interrupts;
      if (on_int == Action::snapshot) interrupts = seen_int = 0;
      if (on_int == Action::stop || action == Action::none) action = on_int;
    }
    return action;
  };
}

/// The value behind "name : " in one of Linux's tables.
std::string in_proc(const char* path, std::string_view name) {
  const File f = open_file(path);
  char line[512];
  while (std::fgets(line, sizeof line, f.get())) {
    const std::string_view text = line;
    if (!text.starts_with(name)) continue;
    const std::size_t from = text.find_first_not_of(" \t:", name.size());
    return from == std::string_view::npos
               ? std::string()
               : std::string(text.substr(from, text.find_last_not_of(" \n") + 1 - from));
  }
  return {};
}

Report::Facts machine(const Cpu& cpu, const Flags& f) {
  return {{"processor", in_proc("/proc/cpuinfo", "model name")},
          {"instruction set", std::string(name_of(cpu.isa()))},
          {"threads", cat(cpu.threads())},
          {"memory", in_proc("/proc/meminfo", "MemTotal")},
          {"compiler", __VERSION__},
          {"crema", CREMA_VERSION},
          {"solver", f.solver}};
}

/// Weights or a snapshot, as the flags say.
void start(Cpu& cpu, Job<float, Cpu>& job, const SolverSpec& spec, const Flags& f, Log& log,
           const std::string& isa) {
  std::vector<std::string> weights = f.weights;
  if (weights.empty()) weights = spec.weights;
  std::string state = f.snapshot;
  if (state == "auto") {
    const NewestSnapshot newest = newest_snapshot(spec.snapshot_prefix);
    for (const std::string& why : newest.rejected) log.line("train.cpp:80", cat("passed over: ", why), 'W');
    state = newest.state;
    if (state.empty()) log.line("train.cpp:82", "no snapshot to go on from: starting at iteration 0");
  }
  if (!state.empty()) {
    log.line("caffe.cpp:241", cat("Resuming from ", state));
    const SnapshotInfo info = job.trainer().resume(state);
    if (!info.verified)
      log.line("train.cpp:87", "the snapshot has no checksums (Caffe wrote it): taken as it is", 'W');
    if (!info.isa.empty() && info.isa != isa)
      log.line(
          "train.cpp:89",
          cat("the snapshot was made with ", info.isa, ", this is ", isa, ": equal results, other last bits"),
          'W');
    return;
  }
  for (const std::string& path : weights) {
    log.line("caffe.cpp:155", cat("Finetuning from ", path));
    log.line("train.cpp:94", load_weights(cpu, job.net(), path).text());
  }
}

int terminal_columns() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// One rank's job; rank 0 speaks and saves. `comm` is null where there is one rank, `world` where there is one process;
/// `here` ranks share this process, and `leads` is true for one of them.
void train_rank(const Flags& f, const SolverSpec& spec, Communicator* comm, World* world, int here,
                bool leads) {
  const int cores = f.threads > 0 ? f.threads : allowed_cores();
  Cpu cpu({.threads = std::max(1, cores / here), .spin = here <= cores});
  const std::string isa(name_of(cpu.isa()));
  const bool first = !comm || comm->rank() == 0;
  JobOptions options{.data_roots = f.data_roots,
                     .seed = f.seed,
                     .level = f.level,
                     .stages = f.stages,
                     .cancel = &cancel,
                     .isa = isa};
  std::int64_t steps = 0;
  if (leads)
    options.after_step = [&steps, world, act = signal_actions(f)] {
      if (world) world->set_step(++steps);
      return act();
    };
  std::unique_ptr<Strategy<float, Cpu>> strategy;
  if (comm) {
    options.shards = shards_of(*comm, f.strategy.name, f.shards);
    strategy = make_strategy<float, Cpu>(*comm, f.strategy);
  } else if (f.shards > 0) {
    options.shards = {f.shards, 0, f.shards};
  }
  Job<float, Cpu> job(cpu, spec, all_layers<float, Cpu>(), options, std::move(strategy));
  if (!first) {
    job.trainer().run();
    return;
  }
  Log log(to_stderr);
  ProgressBar bar(to_stderr, terminal_columns());
  Report report;
  if (isatty(STDERR_FILENO))
    job.trainer().add(bar);
  else
    job.trainer().add(log);
  job.trainer().add(report);
  start(cpu, job, spec, f, log, isa);
  job.trainer().run();
  if (!f.save.empty()) save_weights(cpu, job.net(), f.save);
  if (!f.report.empty()) write_file(f.report, report.html(machine(cpu, f)));
}

std::string secret(const Flags& f) {
  if (f.secret_file.empty()) {
    const char* const given = std::getenv("CREMA_SECRET");
    return given ? given : "";
  }
  std::string text = read_file(f.secret_file);
  return text.substr(0, text.find_last_not_of(" \r\n") + 1);
}

/// This process's ranks among those of all processes.
void train_in_world(const Flags& f, const SolverSpec& spec) {
  const int here = f.ranks_here;
  if (f.ranks % here != 0 || f.rank % here != 0)
    throw SpecError(
        cat("--ranks=", f.ranks, " and --rank=", f.rank, " are no multiples of --ranks-here=", here));
  World world({.rank = f.rank / here,
               .size = f.ranks / here,
               .address = f.world,
               .secret = secret(f),
               .deadline = f.deadline,
               .silence = f.silence,
               .timeout = f.timeout});
  try {
    if (here == 1) {
      train_rank(f, spec, &world.communicator(), &world, 1, true);
    } else {
      HierarchicalWorld ranks(world.communicator(), here);
      ranks.run(
          [&](Communicator& comm) { train_rank(f, spec, &comm, &world, here, comm.rank() % here == 0); });
    }
  } catch (const std::exception& e) {
    world.communicator().fail(e.what());  // before training too: the others hear why
    throw;
  }
  world.leave();
}

}  // namespace

int train(const Flags& f) {
  const SolverSpec spec = read_solver(f.solver);
  if (!f.world.empty()) {
    train_in_world(f, spec);
  } else if (f.ranks == 1) {
    train_rank(f, spec, nullptr, nullptr, 1, true);
  } else {
    ThreadWorld world(f.ranks, f.timeout);
    world.run([&](Communicator& comm) { train_rank(f, spec, &comm, nullptr, f.ranks, comm.rank() == 0); });
  }
  return 0;
}
