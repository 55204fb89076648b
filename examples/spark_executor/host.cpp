// SPDX-License-Identifier: Apache-2.0
#include "host.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

using namespace crema;

namespace {

/// A JVM blocks and ignores signals that its children inherit.
void reset_signals() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int s : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) signal(s, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
}

/// Another thread may be making files there meanwhile.
void wipe(const std::string& folder) {
  std::error_code ignored;
  for (int i = 0; i < 100 && std::filesystem::exists(folder, ignored); ++i)
    std::filesystem::remove_all(folder, ignored);
}

}  // namespace

Host::Host(const std::string& folder) : out_(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10)), parent_(getppid()) {
  reset_signals();
  if (out_ < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) throw Error("standard output is not open");
  struct stat s;
  if (!folder.starts_with('/') || stat(folder.c_str(), &s) != 0 || !S_ISDIR(s.st_mode) ||
      s.st_uid != geteuid())
    throw Error(cat("--dir=", folder, " has to be the absolute path of a private folder"));
  folders_.push_back(folder);
  std::thread([this] { watch(); }).detach();
}

void Host::own(const std::string& folder) {
  const std::lock_guard lock(mutex_);
  folders_.push_back(folder);
}
void Host::disown(const std::string& folder) {
  const std::lock_guard lock(mutex_);
  std::erase(folders_, folder);
  wipe(folder);
}

void Host::log(std::string_view text, std::string_view level) {
  say(Json().add("event", "log").add("level", level).add("text", text));
}

void Host::write(std::string_view lines) {
  const std::lock_guard lock(writing_);
  while (!lines.empty()) {
    const ssize_t n = ::write(out_, lines.data(), lines.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;  // the host is going; watch() will see it
    lines.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string Host::order(std::string_view word, double seconds) {
  std::unique_lock lock(mutex_);
  const auto some = [&] { return !lines_.empty(); };
  if (!arrived_.wait_for(lock, std::chrono::duration<double>(seconds), some)) {
    if (!answers_) throw Error(cat("the host sent no line '", word, "' within ", seconds, " s"));
    arrived_.wait(
        lock, some);  // it lives, and may wait for others itself; the watch ends this when it falls silent
  }
  const std::string line = std::move(lines_.front());
  lines_.pop_front();
  if (!line.starts_with(cat(word, " ")))
    throw Error(cat("expected a line '", word, " ...', got '", line, "'"));
  return line.substr(word.size() + 1);
}

void Host::on_silence(std::function<void(const std::string& why)> told) {
  const std::lock_guard lock(mutex_);
  told_ = std::move(told);
}

void Host::watch() {
  constexpr int turn_ms = 250;
  std::string bytes;
  for (int quiet = 0;;) {  // turns, so that a process that was stopped itself does not blame the host
    pollfd in{STDIN_FILENO, POLLIN, 0};
    const int ready = poll(&in, 1, turn_ms);
    if (getppid() != parent_) end();
    if (ready == 0 && answers_ && ++quiet * turn_ms > silence_ * 1000)
      end(cat("its host has said nothing for ", silence_.load(), " s: it is stopped, or its machine is"));
    if (ready > 0) {
      char chunk[4096];
      const ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
      if (n == 0 || (n < 0 && errno != EINTR)) end();
      if (n > 0) bytes.append(chunk, static_cast<std::size_t>(n));
      quiet = 0;
      take(bytes);
    }
    // A host that has said `alive` gets it in answer alone: nobody empties the pipe of one that is stopped.
    if (std::exchange(asked_, false) || (ready == 0 && !answers_)) say(Json().add("event", "alive"));
  }
}

void Host::take(std::string& bytes) {
  for (std::size_t end; (end = bytes.find('\n')) != std::string::npos; bytes.erase(0, end + 1)) {
    const std::lock_guard lock(mutex_);
    ++heard_;
    if (bytes.compare(0, end, "stop") == 0)
      stop_ = true;
    else if (bytes.compare(0, end, "alive") == 0)
      asked_ = answers_ = true;
    else
      lines_.push_back(bytes.substr(0, end));
    arrived_.notify_all();
  }
}

void Host::exit(int status) {
  std::unique_lock lock(mutex_);
  if (answers_) arrived_.wait(lock, [this, heard = heard_] { return heard_ != heard; });
  _exit(status);
}

void Host::end(const std::string& why) {
  const std::lock_guard lock(mutex_);
  for (const std::string& f : folders_) wipe(f);
  if (!why.empty() && told_) {
    told_(why);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));  // until it has gone out
  }
  _exit(Exit::host_gone);
}
