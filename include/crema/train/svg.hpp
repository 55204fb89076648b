// SPDX-License-Identifier: Apache-2.0
// Pictures for reports, as inline SVG: curves with axes, and the drawing of a net.
//
//   std::string svg = draw({.title = "loss", .x_label = "iteration", .series = {{"train", points}}});
//   std::string net = draw_net(net.plan());
//
// Colours are CSS variables and classes (train/report.hpp
// has them), so that one picture suits light and dark.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "crema/net/net_plan.hpp"

namespace crema::inline CREMA_ABI {

using Points = std::vector<std::pair<double, double>>;

struct Series {
  std::string name;
  Points points;
  bool markers = false;  // a dot at every point, with its numbers as a tooltip
};
struct Chart {
  std::string title, x_label;
  std::vector<Series> series = {};
  bool from_zero = false;
};

/// Text as it may stand in HTML.
inline std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

namespace detail {

inline std::string number_text(double x, const char* format = "%.4g") {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, format, x);
  return buffer;
}
inline std::string pixel(double x) { return number_text(x, "%.1f"); }

/// At most `most` points: means of runs of neighbours.
inline Points thinned(const Points& in, std::size_t most) {
  if (in.size() <= most) return in;
  Points out;
  for (std::size_t k = 0; k < most; ++k) {
    const std::size_t first = k * in.size() / most, last = (k + 1) * in.size() / most;
    double x = 0, y = 0;
    for (std::size_t i = first; i < last; ++i) x += in[i].first, y += in[i].second;
    const auto n = static_cast<double>(last - first);
    out.push_back({x / n, y / n});
  }
  return out;
}

/// A scale with round steps that covers [low, high].
struct Axis {
  double low = 0, high = 1, step = 1;
  Axis(double from, double to, int steps) {
    if (!(to > from)) from -= from == 0 ? 0 : std::fabs(from) / 10, to += to == 0 ? 1 : std::fabs(to) / 10;
    const double raw = (to - from) / steps, power = std::pow(10, std::floor(std::log10(raw)));
    const double digit = raw / power;
    step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
    low = std::floor(from / step + 1e-9) * step, high = std::ceil(to / step - 1e-9) * step;
  }
  int ticks() const { return static_cast<int>(std::lround((high - low) / step)); }
  double tick(int i) const { return low + i * step; }
};

}  // namespace detail

/// One chart of 560 x 300 units.
inline std::string draw(const Chart& chart) {
  using detail::pixel, detail::number_text;
  constexpr double left = 52, right = 532, top = 40, bottom = 262;
  double x0 = 1e300, x1 = -1e300, y0 = 1e300, y1 = -1e300;
  for (const Series& s : chart.series)
    for (const auto& [x, y] : s.points)
      if (std::isfinite(y))
        x0 = std::min(x0, x), x1 = std::max(x1, x), y0 = std::min(y0, y), y1 = std::max(y1, y);
  if (x0 > x1) return {};
  if (chart.from_zero) y0 = std::min(y0, 0.0);
  const detail::Axis ax(x0, x1, 5), ay(y0, y1, 5);
  const auto px = [&](double x) { return left + (x - ax.low) / (ax.high - ax.low) * (right - left); };
  const auto py = [&](double y) { return bottom - (y - ay.low) / (ay.high - ay.low) * (bottom - top); };
  std::string out =
      cat("<svg class=\"chart\" viewBox=\"0 0 560 300\" role=\"img\" aria-label=\"", escape_html(chart.title),
          "\">\n<text class=\"title\" x=\"", left, "\" y=\"16\">", escape_html(chart.title), "</text>\n");
  for (int i = 0; i <= ay.ticks(); ++i)
    out += cat("<path class=\"grid\" d=\"M", left, " ", pixel(py(ay.tick(i))), "H", right,
               "\"/><text class=\"tick\" x=\"", left - 8, "\" y=\"", pixel(py(ay.tick(i)) + 4),
               "\" text-anchor=\"end\">", number_text(std::fabs(ay.tick(i)) < ay.step / 2 ? 0 : ay.tick(i)),
               "</text>\n");
  for (int i = 0; i <= ax.ticks(); ++i)
    out += cat("<text class=\"tick\" x=\"", pixel(px(ax.tick(i))), "\" y=\"", bottom + 18,
               "\" text-anchor=\"middle\">", number_text(ax.tick(i), "%.6g"), "</text>\n");
  out += cat("<text class=\"tick\" x=\"", right, "\" y=\"", bottom + 34, "\" text-anchor=\"end\">",
             escape_html(chart.x_label), "</text>\n");
  double legend = left;
  for (std::size_t k = 0; k < chart.series.size(); ++k) {
    const Series& s = chart.series[k];
    const std::string colour = cat("s", k % 4 + 1);
    std::string path;
    for (const auto& [x, y] : detail::thinned(s.points, 500))
      if (std::isfinite(y)) path += cat(path.empty() ? "M" : "L", pixel(px(x)), " ", pixel(py(y)));
    out += cat("<path class=\"line ", colour, "\" d=\"", path, "\"/>\n");
    for (const auto& [x, y] : s.markers&& s.points.size() <= 60 ? s.points : Points())
      if (std::isfinite(y))
        out += cat("<circle class=\"dot ", colour, "\" cx=\"", pixel(px(x)), "\" cy=\"", pixel(py(y)),
                   "\" r=\"4\"><title>", escape_html(s.name), " ", number_text(y), " after ",
                   number_text(x, "%.9g"), "</title></circle>\n");
    out += cat("<path class=\"key ", colour, "\" d=\"M", pixel(legend), " 28h14\"/><text class=\"tick\" x=\"",
               pixel(legend + 19), "\" y=\"32\">", escape_html(s.name), "</text>\n");
    legend += 40 + 6.6 * static_cast<double>(s.name.size());
  }
  return out + "</svg>\n";
}

namespace detail {

/// What a layer's box says below its name: its type, and how many numbers it has learned.
inline std::string layer_caption(const NetPlan& plan, const NetPlan::Layer& l) {
  std::size_t count = 0;
  for (const int p : l.params) count += plan.segments[static_cast<std::size_t>(p)].count;
  return count == 0 ? l.spec.type : cat(l.spec.type, ", ", count, " weights");
}
inline std::string shape_text(const Shape& s) {
  std::string out;
  for (const std::int64_t e : s.extents()) out += cat(out.empty() ? "" : " × ", e);
  return out.empty() ? "scalar" : out;
}
/// Which of the four colours a layer's box has.
inline std::string_view layer_class(const NetPlan& plan, const NetPlan::Layer& l) {
  if (l.bottom.empty()) return "input";
  if (!l.params.empty()) return "learns";
  for (const int t : l.top) {
    const auto kind = plan.blobs[static_cast<std::size_t>(t)].kind;
    if (kind == TopPlan::loss || kind == TopPlan::metric) return "loss";
  }
  return "plain";
}

/// Where each layer's box stands: a row for each depth, columns in order of appearance.
struct NetDrawing {
  static constexpr double width = 210, height = 42, gap_x = 30, gap_y = 34;
  std::vector<int> row, column;
  int rows = 0, columns = 0;

  explicit NetDrawing(const NetPlan& plan) : row(plan.layers.size()), column(plan.layers.size()) {
    std::vector<int> used;
    for (std::size_t i = 0; i < plan.layers.size(); ++i) {
      for (const int b : plan.layers[i].bottom)
        row[i] = std::max(
            row[i], row[static_cast<std::size_t>(plan.blobs[static_cast<std::size_t>(b)].producer)] + 1);
      const auto r = static_cast<std::size_t>(row[i]);
      if (used.size() <= r) used.resize(r + 1, 0);
      column[i] = used[r]++;
      columns = std::max(columns, used[r]);
    }
    rows = static_cast<int>(used.size());
  }
  double x(std::size_t i) const { return 10 + column[i] * (width + gap_x); }
  double y(std::size_t i) const { return 10 + row[i] * (height + gap_y); }
};

}  // namespace detail

/// The layers as boxes from the inputs down, with the shapes on the lines between them.
inline std::string draw_net(const NetPlan& plan) {
  using detail::pixel;
  const detail::NetDrawing d(plan);
  const double w = 20 + d.columns * (d.width + d.gap_x) + 90, h = 20 + d.rows * (d.height + d.gap_y);
  std::string lines, boxes;
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    const NetPlan::Layer& l = plan.layers[i];
    bool labelled = false;
    for (const int b : l.bottom) {
      const NetPlan::Blob& blob = plan.blobs[static_cast<std::size_t>(b)];
      const auto from = static_cast<std::size_t>(blob.producer);
      const double x1 = d.x(from) + d.width / 2, y1 = d.y(from) + d.height, x2 = d.x(i) + d.width / 2,
                   y2 = d.y(i);
      const bool skips = d.row[i] > d.row[from] + 1;  // a line past other boxes goes round them on the right
      const double bend = 10 + d.columns * (d.width + d.gap_x) - d.gap_x / 2 + 4 * static_cast<double>(b % 6);
      lines += skips ? cat("<path class=\"edge\" d=\"M", pixel(x1 + 60), " ", pixel(y1), "C", pixel(x1 + 60),
                           " ", pixel(y1 + 24), " ", pixel(bend), " ", pixel(y1 + 4), " ", pixel(bend), " ",
                           pixel(y1 + 40), "V", pixel(y2 - 40), "C", pixel(bend), " ", pixel(y2 - 4), " ",
                           pixel(x2 + 60), " ", pixel(y2 - 24), " ", pixel(x2 + 60), " ", pixel(y2), "\"/>\n")
                     : cat("<path class=\"edge\" d=\"M", pixel(x1), " ", pixel(y1), "C", pixel(x1), " ",
                           pixel((y1 + y2) / 2), " ", pixel(x2), " ", pixel((y1 + y2) / 2), " ", pixel(x2),
                           " ", pixel(y2), "\"/>\n");
      if (!skips && !labelled && blob.shape.rank() > 0 && d.column[i] == d.column[from])
        lines += cat("<text class=\"tick\" x=\"", pixel(x2 + 8), "\" y=\"", pixel(y2 - 12), "\">",
                     escape_html(detail::shape_text(blob.shape)), "</text>\n"),
            labelled = true;
    }
    boxes +=
        cat("<rect class=\"box ", detail::layer_class(plan, l), "\" x=\"", pixel(d.x(i)), "\" y=\"",
            pixel(d.y(i)), "\" width=\"", d.width, "\" height=\"", d.height,
            "\" rx=\"6\"/><text class=\"name\" x=\"", pixel(d.x(i) + 12), "\" y=\"", pixel(d.y(i) + 18),
            "\">", escape_html(l.spec.name), "</text><text class=\"tick\" x=\"", pixel(d.x(i) + 12),
            "\" y=\"", pixel(d.y(i) + 34), "\">", escape_html(detail::layer_caption(plan, l)), "</text>\n");
  }
  return cat("<svg class=\"net\" viewBox=\"0 0 ", pixel(w), " ", pixel(h), "\" style=\"max-width:", pixel(w),
             "px\" role=\"img\" aria-label=\"the net\">\n", lines, boxes, "</svg>\n");
}

}  // namespace crema::inline CREMA_ABI
