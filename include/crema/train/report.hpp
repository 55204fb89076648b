// SPDX-License-Identifier: Apache-2.0
// Report: what happened in a training job as one self-contained
// HTML page: curves, the net, settings, machine.
//
//   Report report;
//   trainer.add(report);  trainer.run();
//   write_file("report.html", report.html({{"processor", "..."}, {"threads", "2"}}));
//
// Nothing in the page points outside it. It keeps 16 bytes for each iteration.
#pragma once

#include "crema/core/clock.hpp"
#include "crema/spec/text_printer.hpp"
#include "crema/train/observer.hpp"
#include "crema/train/progress.hpp"
#include "crema/train/svg.hpp"

namespace crema::inline CREMA_ABI {

class Report final : public Observer {
 public:
  using Facts = std::vector<std::pair<std::string, std::string>>;  // name, value

  void on_start(const JobInfo& job) override {
    solver_ = job.solver, plan_ = job.plan, name_ = job.net.name.empty() ? "net" : job.net.name;
    samples_ = job.samples_per_iteration, first_ = job.first_iteration;
    started_ = monotonic_seconds(), testing_ = 0;
  }
  void on_step(const StepInfo& s) override {
    done_ = s.iteration + 1;
    loss_.push_back({static_cast<double>(s.iteration), s.loss});
    if (rate_.empty() || rate_.back().second != s.rate || s.iteration % 50 == 0)
      rate_.push_back({static_cast<double>(s.iteration), s.rate});
  }
  void on_test_start(std::int64_t, int) override { test_started_ = monotonic_seconds(); }
  void on_test(const TestInfo& t) override {
    testing_ += monotonic_seconds() - test_started_;
    for (const OutputValue& v : t.outputs) {
      const std::string name = t.net == 0 ? cat("test ", v.name) : cat("test ", t.net, " ", v.name);
      std::vector<Series>& list = v.loss_weight != 0 ? test_losses_ : metrics_;
      auto at = std::find_if(list.begin(), list.end(), [&](const Series& s) { return s.name == name; });
      if (at == list.end()) at = list.insert(list.end(), {name, {}, true});
      if (!at->points.empty() && at->points.back().first == static_cast<double>(t.iteration)) continue;
      at->points.push_back({static_cast<double>(t.iteration), v.value});
    }
  }
  void on_end(std::int64_t, Ending, const double*) override { seconds_ = monotonic_seconds() - started_; }

  /// The page. `machine`: what the host knows of it, as name and value.
  std::string html(const Facts& machine = {}) const {
    std::string out =
        cat("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
            "content=\"width=device-width, initial-scale=1\"><title>",
            escape_html(name_), ": training report</title>\n<style>\n", style,
            "</style></head>\n<body><main>\n<h1>", escape_html(name_), "</h1>\n<p class=\"sub\">",
            escape_html(summary()), "</p>\n");
    out += tiles();
    out += "<section class=\"charts\">\n";
    Chart losses{"loss", "iteration", {{"train loss", loss_, false}}, true};
    losses.series.insert(losses.series.end(), test_losses_.begin(), test_losses_.end());
    for (const Chart& c :
         {losses, Chart{metrics_.size() == 1 ? metrics_[0].name : "metrics", "iteration", metrics_},
          Chart{"learning rate", "iteration", {{"rate", rate_, false}}, true}})
      if (const std::string svg = draw(c); !svg.empty()) out += cat("<figure>", svg, "</figure>\n");
    out += "</section>\n<section class=\"two\"><div><h2>The net</h2>\n" + draw_net(plan_) + "</div>\n<div>";
    out += "<h2>Machine</h2>\n" + table(machine) + "<h2>Layers</h2>\n" + layers();
    SolverSpec shown = solver_;
    shown.net_param.reset(), shown.train_net_param.reset(), shown.test_net_param.clear();
    out += cat("<h2>Solver</h2>\n<pre>", escape_html(print(shown)), "</pre></div></section>\n");
    return out + cat("<footer>written by crema ", CREMA_VERSION, "</footer>\n</main></body></html>\n");
  }

 private:
  static constexpr std::string_view style =
      ":root{color-scheme:light dark;--page:#f7f7f5;--card:#fff;--ink:#1b1b1a;--soft:#6b6a66;--line:#e3e2de;"
      "--s1:#2a6fdb;--s2:#d9622b;--s3:#1f8a5b;--s4:#8a4fc7;--input:#e8eefb;--learns:#fdeee4;--loss:#e5f4ec;--"
      "plain:#f1f0ed}\n"
      "@media(prefers-color-scheme:dark){:root{--page:#151514;--card:#1f1f1d;--ink:#eeedea;--soft:#a3a19b;--"
      "line:#383733;"
      "--s1:#6ea4f5;--s2:#f08c5a;--s3:#57bd8e;--s4:#b98bea;--input:#22304a;--learns:#43301f;--loss:#1d3a2c;--"
      "plain:#2b2a27}}\n"
      "body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\n"
      "main{max-width:1180px;margin:0 auto;padding:32px 24px 48px}\n"
      "h1{font-size:28px;margin:0}h2{font-size:17px;margin:28px 0 10px}\n"
      ".sub,footer{color:var(--soft);margin:4px 0 20px}footer{margin-top:32px;font-size:13px}\n"
      ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-bottom:"
      "20px}\n"
      ".tiles div,figure,.net{background:var(--card);border:1px solid var(--line);border-radius:10px}\n"
      ".tiles div{padding:12px 16px}.tiles "
      "b{display:block;font-size:24px;font-weight:600;font-variant-numeric:tabular-nums}\n"
      ".tiles span{color:var(--soft);font-size:13px}\n"
      ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:16px}\n"
      "figure{margin:0;padding:14px}svg{display:block;width:100%;height:auto}\n"
      ".two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:24px}\n"
      ".two>div{min-width:0}table{border-collapse:collapse;width:100%;font-size:14px}\n"
      "td,th{text-align:left;padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}\n"
      "th{color:var(--soft);font-weight:500}td.n{text-align:right;font-variant-numeric:tabular-nums}\n"
      "pre{background:var(--card);border:1px solid "
      "var(--line);border-radius:10px;padding:14px;overflow:auto;font-size:13px}\n"
      "text{fill:var(--ink);font-family:system-ui,sans-serif}.title{font-size:14px;font-weight:600}.name{"
      "font-size:14px;font-weight:600}\n"
      ".tick{font-size:12px;fill:var(--soft)}.grid{stroke:var(--line);fill:none}.edge{stroke:var(--soft);"
      "fill:none;stroke-width:1.3}\n"
      ".line,.key{fill:none;stroke-width:2;stroke-linejoin:round}.key{stroke-width:3}.dot{stroke:var(--card);"
      "stroke-width:1.5}\n"
      ".s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}\n"
      ".dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}.dot.s3{fill:var(--s3)}.dot.s4{fill:var(--s4)}\n"
      ".box{stroke:var(--line)}.input{fill:var(--input)}.learns{fill:var(--learns)}.loss{fill:var(--loss)}."
      "plain{fill:var(--plain)}\n";

  double train_seconds() const { return seconds_ - testing_; }
  std::size_t weights() const {
    std::size_t n = 0;
    for (const Segment& s : plan_.segments) n += s.count;
    return n;
  }
  std::string summary() const {
    return cat(done_ - first_, " iterations of ", samples_, " samples in ", minutes_text(seconds_),
               ", solver ", solver_.type);
  }
  static std::string tile(const std::string& value, const std::string& name) {
    return cat("<div><b>", escape_html(value), "</b><span>", escape_html(name), "</span></div>\n");
  }
  std::string tiles() const {
    std::string out = "<section class=\"tiles\">\n";
    for (const Series& s : metrics_)
      out += tile(detail::number_text(s.points.back().second), cat(s.name, ", last"));
    for (const Series& s : test_losses_)
      out += tile(detail::number_text(s.points.back().second), cat(s.name, ", last"));
    if (!loss_.empty()) out += tile(detail::number_text(loss_.back().second), "train loss, last");
    out += tile(minutes_text(train_seconds()), "training time, without tests");
    if (train_seconds() > 0)
      out += tile(short_number(static_cast<double>((done_ - first_) * samples_) / train_seconds()),
                  "samples per second");
    return out + tile(short_number(static_cast<double>(weights())), "weights") + "</section>\n";
  }
  static std::string table(const Facts& facts) {
    std::string out = "<table>\n";
    for (const auto& [name, value] : facts)
      out += cat("<tr><th>", escape_html(name), "</th><td>", escape_html(value), "</td></tr>\n");
    return out + "</table>\n";
  }
  std::string layers() const {
    std::string out = "<table>\n<tr><th>layer</th><th>type</th><th>output</th><th>weights</th></tr>\n";
    for (const NetPlan::Layer& l : plan_.layers) {
      std::size_t count = 0;
      for (const int p : l.params) count += plan_.segments[static_cast<std::size_t>(p)].count;
      std::string shapes;
      for (const int t : l.top)
        shapes += cat(shapes.empty() ? "" : ", ",
                      detail::shape_text(plan_.blobs[static_cast<std::size_t>(t)].shape));
      out += cat("<tr><td>", escape_html(l.spec.name), "</td><td>", escape_html(l.spec.type), "</td><td>",
                 escape_html(shapes), "</td><td class=\"n\">", count == 0 ? std::string() : cat(count),
                 "</td></tr>\n");
    }
    return out + "</table>\n";
  }

  SolverSpec solver_;
  NetPlan plan_;
  std::string name_;
  std::int64_t samples_ = 0, first_ = 0, done_ = 0;
  double started_ = 0, seconds_ = 0, test_started_ = 0, testing_ = 0;
  Points loss_, rate_;
  std::vector<Series> test_losses_, metrics_;
};

}  // namespace crema::inline CREMA_ABI
