// SPDX-License-Identifier: Apache-2.0
// A world inside one test: each rank a thread with a World of its own, over 127.0.0.1.
#pragma once

#include <pthread.h>

#include <memory>
#include <string>
#include <vector>

#include "crema/comm/world.hpp"

/// Short limits: a test that would hang fails instead.
inline crema::WorldOptions quick_world(int rank, int size) {
  crema::WorldOptions o;
  o.rank = rank;
  o.size = size;
  o.secret = "a secret for the tests only";
  o.deadline = 20;
  o.beat = 0.1;
  o.silence = 5;
  o.timeout = 20;
  return o;
}

/// Runs body(rank) on n threads; what each threw, as text, or empty.
template <class Body>
std::vector<std::string> on_threads(int n, Body body) {
  struct Task {
    Body* body;
    int rank;
    std::string error;
    pthread_t thread;
  };
  std::vector<Task> tasks(static_cast<std::size_t>(n));
  for (int r = 0; r < n; ++r) {
    Task& t = tasks[static_cast<std::size_t>(r)];
    t.body = &body;
    t.rank = r;
    pthread_create(
        &t.thread, nullptr,
        [](void* task) -> void* {
          Task& self = *static_cast<Task*>(task);
          try {
            (*self.body)(self.rank);
          } catch (const std::exception& e) {
            self.error = e.what();
            if (self.error.empty()) self.error = "an exception without words";
          }
          return nullptr;
        },
        &t);
  }
  std::vector<std::string> errors;
  for (Task& t : tasks) {
    pthread_join(t.thread, nullptr);
    errors.push_back(t.error);
  }
  return errors;
}

/// The same with a world that stands: body(world).
template <class Body>
std::vector<std::string> in_world(int n, Body body, double timeout = 20) {
  auto listener = std::make_shared<crema::Listener>("127.0.0.1:0");
  const std::string address = listener->address();
  return on_threads(n, [&](int rank) {
    crema::WorldOptions o = quick_world(rank, n);
    o.address = address;
    o.timeout = timeout;
    const auto world = rank == 0 ? std::make_unique<crema::World>(o, std::move(*listener))
                                 : std::make_unique<crema::World>(o);
    body(*world);
    world->leave();
  });
}
