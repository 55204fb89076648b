// SPDX-License-Identifier: Apache-2.0
#include "crema/core/thread_pool.hpp"

#include <cstring>
#include <stdexcept>
#include <vector>

#include "catch.hpp"

using namespace crema;

TEST_CASE("every chunk runs exactly once, in many short regions", "[core]") {
  const int threads = GENERATE(1, 2, 3, 5, 12);
  const bool spin = GENERATE(true, false);
  ThreadPool pool(threads, spin);
  CHECK(pool.threads() == threads);
  for (int round = 0; round < 300; ++round) {
    const std::int64_t chunks = round % 37;
    std::vector<int> hits(40);  // plain ints: the end of a region must order them
    pool.parallel(chunks, [&](std::int64_t i) { ++hits[static_cast<std::size_t>(i)]; });
    for (std::int64_t i = 0; i < 40; ++i) REQUIRE(hits[static_cast<std::size_t>(i)] == (i < chunks));
  }
}

TEST_CASE("the caller runs the first part, the worker the second", "[core]") {
  ThreadPool pool(2);
  const pthread_t caller = pthread_self();
  for (int round = 0; round < 100; ++round) {
    std::atomic<bool> started[2] = {false, false};
    bool by_caller[4] = {};
    pool.parallel(4, [&](std::int64_t i) {
      by_caller[i] = pthread_equal(pthread_self(), caller) != 0;
      started[i / 2] = true;
      while (!started[0] || !started[1]) sched_yield();  // neither gets on before both take part
    });
    CHECK(by_caller[0]);
    CHECK_FALSE(by_caller[2]);
  }
}

TEST_CASE("the lowest chunk's exception arrives after all chunks have run", "[core]") {
  const int threads = GENERATE(1, 3);
  ThreadPool pool(threads);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> ran{0};
    std::string message;
    try {
      pool.parallel(20, [&](std::int64_t i) {
        ran.fetch_add(1);
        if (i == 7 || i == 13) throw std::runtime_error(cat("chunk ", i));
      });
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    CHECK(message == "chunk 7");
    CHECK(ran.load() == 20);
  }
  std::atomic<int> after{0};
  pool.parallel(5, [&](std::int64_t) { after.fetch_add(1); });
  CHECK(after.load() == 5);
}

TEST_CASE("a region inside a chunk runs on the thread of that chunk", "[core]") {
  ThreadPool pool(3);
  std::atomic<int> inner{0}, elsewhere{0};
  pool.parallel(6, [&](std::int64_t) {
    const pthread_t self = pthread_self();
    pool.parallel(4, [&](std::int64_t) {
      inner.fetch_add(1);
      if (!pthread_equal(self, pthread_self())) elsewhere.fetch_add(1);
    });
  });
  CHECK(inner.load() == 24);
  CHECK(elsewhere.load() == 0);
}

TEST_CASE("sleeping workers wake up", "[core]") {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    usleep(2000);  // beyond the spinning time
    std::atomic<int> ran{0};
    pool.parallel(8, [&](std::int64_t) { ran.fetch_add(1); });
    CHECK(ran.load() == 8);
  }
}

TEST_CASE("two host threads may meet in one pool", "[core]") {
  struct Shared {
    ThreadPool pool{2};
    std::atomic<int> ran{0};
    void work() {
      for (int i = 0; i < 200; ++i) pool.parallel(5, [&](std::int64_t) { ran.fetch_add(1); });
    }
  } shared;
  pthread_t other;
  REQUIRE(pthread_create(
              &other, nullptr, [](void* s) -> void* { return static_cast<Shared*>(s)->work(), nullptr; },
              &shared) == 0);
  shared.work();
  pthread_join(other, nullptr);
  CHECK(shared.ran.load() == 2000);
}

TEST_CASE("workers leave signals to the host's threads", "[core]") {
  ThreadPool pool(3);
  std::atomic<int> open{0};
  const pthread_t caller = pthread_self();
  pool.parallel(64, [&](std::int64_t) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    if (!pthread_equal(caller, pthread_self()) && !sigismember(&mask, SIGTERM)) open.fetch_add(1);
    usleep(50);
  });
  CHECK(open.load() == 0);
}

#if defined(__x86_64__)
TEST_CASE("denormals are zero inside a region and the caller's mode comes back", "[core]") {
  ThreadPool pool(3);
  const unsigned before = __builtin_ia32_stmxcsr();
  std::atomic<int> kept{0};
  const auto halves = [&](std::int64_t) {
    volatile float tiny = 1.2e-38f;
    const float half = tiny * 0.5f;
    if (half != 0) kept.fetch_add(1);
  };
  pool.parallel(32, halves);
  pool.parallel(1, halves);
  CHECK(kept.load() == 0);
  CHECK(__builtin_ia32_stmxcsr() == before);
  halves(0);
  CHECK(kept.load() == 1);
}
#endif

TEST_CASE("a pool has at least its caller", "[core]") {
  CHECK(allowed_cores() >= 1);
  ThreadPool none(0);
  CHECK(none.threads() == 1);
}
