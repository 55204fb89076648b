// SPDX-License-Identifier: Apache-2.0
// Log, ProgressBar, Report, JsonLines: what the observers make of a job.
#include "crema/train/observer.hpp"

#include <regex>

#include "catch.hpp"
#include "crema/train/json_lines.hpp"
#include "crema/train/log.hpp"
#include "crema/train/progress.hpp"
#include "crema/train/report.hpp"
#include "tiny.hpp"

using namespace crema_test;

namespace {
void run_with(Observer& o) {
  const TemporaryFolder folder;
  Tiny t;
  SolverSpec s = tiny_solver(40);
  s.display = 10, s.test_interval = 20, s.snapshot = 40, s.snapshot_prefix = folder.path + "/tiny";
  Trainer<float, Cpu> trainer(t.cpu, s, t.net, t.source, {.seed = 1});
  trainer.add_test(t.test_net, t.test_source, 5);
  trainer.add(o);
  trainer.run();
}
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines{""};
  for (const char c : text)
    if (c == '\n')
      lines.emplace_back();
    else
      lines.back() += c;
  lines.pop_back();
  return lines;
}
}  // namespace

TEST_CASE("Caffe's parse_log reads the log", "[train]") {
  std::string text;
  Log log([&](std::string_view s) { text += s; });
  run_with(log);
  const std::regex glog(R"(^I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \w+\.cpp:\d+\] .*)");
  // the regular expressions of Caffe's tools/extra/parse_log.py
  const std::regex iteration(R"(Iteration (\d+))"),
      train_output(R"(Train net output #(\d+): (\S+) = ([\.\deE+-]+))"),
      test_output(R"(Test net output #(\d+): (\S+) = ([\.\deE+-]+))"),
      rate(R"(lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?))");
  int iterations = 0, trained = 0, tested = 0, rates = 0;
  std::string last_accuracy;
  for (const std::string& line : lines_of(text)) {
    INFO(line);
    CHECK(std::regex_match(line, glog));
    std::smatch m;
    iterations += std::regex_search(line, m, iteration);
    trained += std::regex_search(line, m, train_output);
    rates += std::regex_search(line, m, rate);
    if (std::regex_search(line, m, test_output)) {
      ++tested;
      if (m[2] == "accuracy") last_accuracy = m[3];
    }
  }
  CHECK(trained == 4);  // iterations 0, 10, 20, 30; one loss
  CHECK(rates == 4);
  CHECK(tested == 6);       // after 0, 20, 40; accuracy and loss
  CHECK(iterations == 12);  // 4 displays, 4 rates, 3 tests, the end
  CHECK(std::stod(last_accuracy) > 0.8);
  CHECK(text.find("Solving tiny") != std::string::npos);
  CHECK(text.find("loss = ") != std::string::npos);
  CHECK(text.find("(* 1 = ") != std::string::npos);
  CHECK(text.find("tiny_iter_40.caffemodel") != std::string::npos);
  CHECK(text.find("Optimization Done.") != std::string::npos);
}

TEST_CASE("the progress bar stays on its line and tells the score", "[train]") {
  std::string text;
  ProgressBar bar([&](std::string_view s) { text += s; }, 60);
  run_with(bar);
  CHECK(text.find("tiny: 40 iterations of 8 samples\n") == 0);
  CHECK(text.find("40/40") != std::string::npos);
  CHECK(text.find("iteration 40, test net 0:  accuracy ") != std::string::npos);
  CHECK(text.find("done after iteration 40") != std::string::npos);
  for (const std::string& line : lines_of(text)) {
    std::size_t from = 0;  // what is drawn over one line: pieces between carriage returns
    for (std::size_t at; (at = line.find("\r\x1b[K", from)) != std::string::npos; from = at + 4)
      if (line[from] == '[') CHECK(at - from < 60);
  }
  CHECK(minutes_text(7) == "0:07");
  CHECK(minutes_text(754) == "12:34");
  CHECK(minutes_text(3 * 3600 + 5 * 60 + 59) == "3:05:59");
  CHECK(short_number(950) == "950");
  CHECK(short_number(7900) == "7.9k");
  CHECK(short_number(1.2e6) == "1.2M");
}

TEST_CASE("the report is one page that points nowhere", "[train]") {
  Report report;
  run_with(report);
  const std::string page = report.html({{"processor", "x < y & \"z\""}});
  CHECK(page.find("<!DOCTYPE html>") == 0);
  CHECK(page.find("</html>") != std::string::npos);
  for (const char* outside : {"http:", "https:", "src=", "href=", "@import", "url("}) {
    INFO(outside);
    CHECK(page.find(outside) == std::string::npos);
  }
  for (const char* part : {"<svg", "train loss", "test loss", "test accuracy", "learning rate", "conv",
                           "InnerProduct", "base_lr: 0.05", "x &lt; y &amp; &quot;z&quot;"}) {
    INFO(part);
    CHECK(page.find(part) != std::string::npos);
  }
  CHECK(page.find("nan") == std::string::npos);
}

TEST_CASE("JsonLines tells what happens, one object a line", "[train]") {
  std::vector<std::string> lines;
  JsonLines every([&](std::string_view line) { lines.emplace_back(line); }, 0);
  run_with(every);
  const auto count = [&](const std::string& event) {
    return std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.starts_with(cat("{\"event\":\"", event, "\",")) && line.ends_with("}\n");
    });
  };
  CHECK(
      lines.front().starts_with(R"({"event":"start","iteration":0,"max_iter":40,"samples_per_iteration":)"));
  CHECK(count("step") == 40);
  CHECK(count("snapshot") == 1);
  CHECK(count("test") >= 2);
  CHECK(lines[2].find(R"("event":"step","iteration":1,"loss":)") != std::string::npos);

  lines.clear();
  JsonLines seldom([&](std::string_view line) { lines.emplace_back(line); }, 3600);
  run_with(seldom);
  CHECK(count("step") == 2);  // the first and the last
}
