// SPDX-License-Identifier: Apache-2.0
// crema_executor: the engine as a process, for hosts that cannot or will not link it: a Spark executor above all.
//
//   crema_executor --dir=/a/private/folder
//
// docs/spark_protocol.md says how a host speaks to it.
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "engine.hpp"

using namespace crema;

namespace {

struct Flags {
  std::string dir, address = "127.0.0.1", sockets = "/tmp";
};

std::string_view kind_of(const std::exception& e) {
  const auto is = [&]<class E>(const E*) { return dynamic_cast<const E*>(&e) != nullptr; };
  if (is(static_cast<SpecError*>(nullptr)) || is(static_cast<ParseError*>(nullptr))) return "spec";
  if (is(static_cast<ShapeError*>(nullptr))) return "shape";
  if (is(static_cast<DataError*>(nullptr))) return "data";
  if (is(static_cast<CommError*>(nullptr))) return "comm";
  if (is(static_cast<Cancelled*>(nullptr))) return "cancelled";
  if (is(static_cast<std::bad_alloc*>(nullptr))) return "memory";
  return "other";
}

void work(Host& host, const Flags& f, int& rank) {
  Listener listener(f.address + ":0");
  RowSocket socket(f.sockets);
  host.own(socket.folder());
  const std::string address = listener.address();
  host.say(Json()
               .add("event", "hello")
               .add("version", CREMA_VERSION)
               .add("build", __VERSION__)
               .add("pid", static_cast<std::int64_t>(getpid()))
               .add("port", address.substr(address.rfind(':') + 1))
               .add("rows", socket.path())
               .add("isa", name_of(Cpu({.threads = 1}).isa())));
  const JobOrder job = parse_order<JobOrder>(host.order("job", 60));
  rank = job.rank;
  host.allow_silence(job.silence);
  if (job.size < 1 || job.rank < 0 || job.rank >= job.size || job.ranks_here < 1)
    throw SpecError(cat("engine ", job.rank, " of ", job.size, " with ", job.ranks_here, " ranks"));
  if (!job.gpu.empty()) {
    std::string addresses;
    for (const std::string& a : job.gpu) addresses += cat(addresses.empty() ? "" : ", ", a);
    host.log(
        cat("this engine has no GPU backend: it computes on the CPU, and GPU ", addresses, " stays idle"),
        "W");
  }
  std::vector<RowStream> streams = socket.receive(job.stream, f.dir, job.timeout);
  host.disown(socket.folder());
  switch (job.mode) {
    case Mode::plan:
      return plan(host, job, f.dir);
    case Mode::verify:
      read_snapshot(job.state);
      return host.say(Json().add("event", "done"));
    case Mode::train:
      return train(host, job, f.dir, streams, std::move(listener));
    default:
      return score(host, job, f.dir, streams);
  }
}

int fail(Host& host, int rank, const std::exception& e, Exit code) {
  host.say(Json()
               .add("event", "fail")
               .add("kind", kind_of(e))
               .add("witness", code == Exit::witness)
               .add("rank", rank)
               .add("why", e.what()));
  std::fprintf(stderr, "crema_executor: rank %d: %s\n", rank, e.what());
  return code;
}

int run(Host& host, const Flags& f) {
  int rank = 0;
  try {
    if (chdir(f.dir.c_str()) != 0) throw Error(cat(f.dir, ": cannot be entered"));
    work(host, f, rank);
    return Exit::done;
  } catch (const Witnessed& e) {
    return fail(host, rank, e, Exit::witness);
  } catch (const NoWorld& e) {
    return fail(host, rank, e, Exit::no_world);
  } catch (const RowsCut& e) {
    return fail(host, rank, e, Exit::rows_cut);
  } catch (const std::exception& e) {
    return fail(host, rank, e, Exit::failed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Flags f;
  CLI::App app("crema's engine for a host process; docs/spark_protocol.md has the protocol",
               "crema_executor");
  app.set_version_flag("--version", CREMA_VERSION);
  app.add_option("--dir", f.dir, "a private folder for all files; wiped when the host is gone")->required();
  app.add_option("--host", f.address, "own address that other engines reach")->capture_default_str();
  app.add_option("--sockets", f.sockets, "a folder with a short path, for a socket")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : Exit::usage;
  }
  try {
    Host& host = *new Host(f.dir);
    const int status = run(host, f);
    std::fflush(stderr);
    host.exit(status);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "crema_executor: %s\n", e.what());
  }
  return Exit::failed;
}
