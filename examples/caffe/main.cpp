// SPDX-License-Identifier: Apache-2.0
// crema: trains, tests and times Caffe models, and makes their data.
//
//   crema train --solver=lenet_solver.prototxt --data-root=/usr/share/datasets/fashion-mnist
//   crema test --model=lenet_train_test.prototxt --weights=lenet.caffemodel --iterations=100
//   crema time --model=lenet_train_test.prototxt --iterations=10
//   crema convert --resize_height=256 --resize_width=256 images/ train.txt train_lmdb
//   crema mean train_lmdb mean.binaryproto
//
// Caffe's flags work with one dash or two. Exit status: 0, or 1 with one message on standard error.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "crema/caffe/flags.hpp"
#include "program.hpp"

namespace {

void common(CLI::App& c, Flags& f) {
  c.add_option("--threads", f.threads,
               "threads to compute with (default: all cores that the process may use)")
      ->check(CLI::NonNegativeNumber);
  c.add_option("--data-root,--data_root", f.data_roots,
               "a folder that data may be read from, beside the net's own; may be repeated");
  c.add_option("--seed", f.seed,
               "of weights, shuffling and dropout (default: random_seed of the solver, or 0)");
  c.add_option("--level", f.level, "level of the net's state");
  c.add_option("--stage", f.stages, "stages of the net's state, separated by commas")->delimiter(',');
  c.add_option("--gpu", f.gpu, "not in this program: it computes on the CPU");
}

/// CLI11's own parser takes "-solver" for "-s olver": the flags are rewritten first.
std::vector<std::string> arguments(int argc, char** argv) {
  std::vector<std::string> out = crema::with_two_dashes(
      {argv + 1, argv + argc},
      {"solver",      "snapshot",      "weights",       "model",         "iterations",    "phase",
       "gpu",         "level",         "stage",         "sigint_effect", "sighup_effect", "threads",
       "seed",        "report",        "save",          "data-root",     "data_root",     "help",
       "version",     "ranks",         "shards",        "strategy",      "tau",           "local-from",
       "local_from",  "alpha",         "n-fetch",       "n_fetch",       "n-push",        "n_push",
       "delay",       "bfloat16",      "world",         "rank",          "ranks-here",    "ranks_here",
       "secret-file", "secret_file",   "deadline",      "silence",       "timeout",       "gray",
       "shuffle",     "resize_height", "resize-height", "resize_width",  "resize-width",  "backend"});
  std::reverse(out.begin(), out.end());  // the order in which CLI11 wants a vector
  return out;
}

int run(int argc, char** argv) {
  Flags f;
  CLI::App app("crema " CREMA_VERSION ": trains, tests and times Caffe models", "crema");
  app.set_version_flag("--version", CREMA_VERSION);
  app.require_subcommand(1);

  CLI::App& on_train = *app.add_subcommand("train", "train or finetune a model");
  on_train.add_option("--solver", f.solver, "the solver's prototxt")->required();
  auto* snapshot =
      on_train.add_option("--snapshot", f.snapshot,
                          "go on from this .solverstate; \"auto\": from the newest that is whole, if any");
  on_train.add_option("--weights", f.weights, "start from these .caffemodel files, separated by commas")
      ->delimiter(',')
      ->excludes(snapshot);
  on_train.add_option("--report", f.report, "write an HTML page with curves, net and settings to this file");
  on_train.add_option("--save", f.save, "write the trained weights to this .caffemodel");
  const auto effect = CLI::IsMember({"stop", "snapshot", "none"});
  on_train.add_option("--sigint_effect", f.sigint_effect, "what SIGINT does: stop, snapshot or none")
      ->check(effect)
      ->capture_default_str();
  on_train.add_option("--sighup_effect", f.sighup_effect, "what SIGHUP does: stop, snapshot or none")
      ->check(effect)
      ->capture_default_str();

  on_train
      .add_option("--ranks", f.ranks,
                  "ranks that train together, each with a batch of its own: threads here, or with --world "
                  "those of all processes")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  on_train
      .add_option("--shards", f.shards,
                  "virtual shards of the data, a multiple of the ranks (default: the ranks)")
      ->check(CLI::NonNegativeNumber);
  auto* world = on_train.add_option("--world", f.world,
                                    "rank 0's host:port: the ranks are processes, each started by hand");
  on_train.add_option("--rank", f.rank, "with --world: the first rank of this process, from 0")->needs(world);
  on_train
      .add_option("--ranks-here,--ranks_here", f.ranks_here,
                  "with --world: threads of this process that are ranks")
      ->needs(world)
      ->check(CLI::Range(1, 1024));
  on_train
      .add_option("--secret-file,--secret_file", f.secret_file,
                  "with --world: what all processes know, 16 bytes or more (default: $CREMA_SECRET)")
      ->needs(world);
  on_train.add_option("--deadline", f.deadline, "with --world: seconds until all processes must be there")
      ->needs(world)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  on_train.add_option("--silence", f.silence, "with --world: seconds after which a silent process is lost")
      ->needs(world)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  on_train
      .add_option("--timeout", f.timeout,
                  "seconds that ranks wait for each other within the training, such as for a parameter "
                  "server that tests")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  crema::StrategyOptions& s = f.strategy;
  on_train.add_option("--strategy", s.name, "how ranks agree")
      ->check(CLI::IsMember({"synchronous", "local_sgd", "easgd", "eamsgd", "downpour", "bounded_delay"}))
      ->capture_default_str();
  on_train.add_option("--tau", s.tau, "local_sgd, easgd, eamsgd: steps between meetings")
      ->capture_default_str();
  on_train.add_option("--local-from,--local_from", s.local_from,
                      "local_sgd: meets at every step until this iteration");
  on_train.add_option("--alpha", s.alpha, "easgd, eamsgd: moving rate (default: 0.9 / ranks)");
  on_train.add_option("--n-fetch,--n_fetch", s.n_fetch, "downpour: steps between fetches")
      ->capture_default_str();
  on_train.add_option("--n-push,--n_push", s.n_push, "downpour: steps between pushes")->capture_default_str();
  on_train.add_option("--delay", s.delay, "bounded_delay: iterations that a step may be ahead")
      ->capture_default_str();
  on_train.add_flag("--bfloat16", s.bfloat16, "synchronous: gradients travel as bfloat16");

  CLI::App& on_test = *app.add_subcommand("test", "score a model");
  on_test.add_option("--model", f.model, "the net's prototxt")->required();
  on_test.add_option("--weights", f.weights, "its .caffemodel")->required()->delimiter(',');
  on_test.add_option("--iterations", f.iterations, "batches to run; 0: all there are")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();

  CLI::App& on_time = *app.add_subcommand("time", "time each layer");
  on_time.add_option("--model", f.model, "the net's prototxt")->required();
  on_time.add_option("--iterations", f.iterations, "how often to run it")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  on_time.add_option("--phase", f.phase, "TRAIN or TEST")
      ->check(CLI::IsMember({"TRAIN", "TEST"}))
      ->capture_default_str();
  for (CLI::App* c : {&on_train, &on_test, &on_time}) common(*c, f);

  CLI::App& on_convert = *app.add_subcommand("convert", "images of a list into an LMDB (convert_imageset)");
  on_convert.add_option("root", f.root, "the folder that stands in front of each path")->required();
  on_convert.add_option("list", f.list, "a line of path and label for each image")->required();
  on_convert.add_option("database", f.output, "the LMDB folder to make")->required();
  on_convert.add_flag("--gray", f.gray, "one channel");
  on_convert.add_flag("--shuffle", f.shuffle, "in an order drawn from --seed");
  on_convert.add_option("--seed", f.seed, "of --shuffle (default: 0)");
  auto* height =
      on_convert.add_option("--resize_height,--resize-height", f.resize_height, "rows of each image");
  auto* width =
      on_convert.add_option("--resize_width,--resize-width", f.resize_width, "columns of each image");
  height->needs(width)->check(CLI::PositiveNumber), width->needs(height)->check(CLI::PositiveNumber);
  std::string backend = "lmdb";
  on_convert.add_option("--backend", backend, "lmdb is the one there is")->check(CLI::IsMember({"lmdb"}));

  CLI::App& on_mean = *app.add_subcommand("mean", "the mean image of a data set (compute_image_mean)");
  on_mean.add_option("data", f.list, "an LMDB folder, an IDX image file, CIFAR files")->required();
  on_mean.add_option("output", f.output, "the .binaryproto to write");
  on_mean.add_option("--backend", backend, "lmdb is the one there is")->check(CLI::IsMember({"lmdb"}));

  try {
    app.parse(arguments(argc, argv));
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 1;
  }
  if (!f.gpu.empty()) throw crema::SpecError("--gpu: this program computes on the CPU; leave the flag away");
  if (on_convert.parsed()) return convert(f);
  if (on_mean.parsed()) return mean(f);
  return on_train.parsed() ? train(f) : on_test.parsed() ? test(f) : time(f);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("crema: out of memory: take a smaller batch_size\n", stderr);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "crema: %s\n", e.what());
  }
  return 1;
}
