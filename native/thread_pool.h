// A few threads that share the rows of one layer: they wait a moment for the next call, then sleep, and end with the pool.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace spiking {

class ThreadPool {
 public:
  // `threads` counts the caller's own.
  explicit ThreadPool(int threads) : threads_(threads) {}
  ~ThreadPool() { stop(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Runs work(0) … work(threads − 1), one of them here, and returns when all are done. Work must not throw.
  void run(const std::function<void(int)>& work) {
    if (threads_ > 1 && workers_.empty()) start();
    if (workers_.empty()) return work(0);
    work_ = &work;
    pending_ = int(workers_.size());
    round_++;
    // whoever falls asleep counts itself before it looks at the round
    if (sleeping_ > 0) notify(wake_);
    work(0);
    const auto done = [&] { return pending_ == 0; };
    if (!soon(done)) {
      std::unique_lock<std::mutex> lock(mutex_);
      waiting_ = true;
      done_.wait(lock, done);
      waiting_ = false;
    }
  }

 private:
  void start() {
    try {
      for (int i = 1; i < threads_; i++) workers_.emplace_back([this, i] { loop(i); });
    } catch (...) {
      // fewer threads than asked for would leave work undone: none, then
      stop();
      threads_ = 1;
    }
  }

  void stop() {
    ending_ = true;
    notify(wake_);
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  void loop(int index) {
    long seen = 0;
    const auto called = [&] { return ending_ || round_ != seen; };
    for (;;) {
      if (!soon(called)) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleeping_++;
        wake_.wait(lock, called);
        sleeping_--;
      }
      if (ending_) return;
      seen = round_;
      (*work_)(index);
      if (--pending_ == 0 && waiting_) notify(done_);
    }
  }

  // Behind the lock nobody is between looking and sleeping.
  void notify(std::condition_variable& sleepers) {
    std::lock_guard<std::mutex> lock(mutex_);
    sleepers.notify_all();
  }

  // Whether something comes true within a moment; a layer takes a fraction of that, waking a thread about as much. Threads that have
  // no core of their own are let pass.
  template <class Condition>
  static bool soon(Condition condition) {
    for (int i = 0; i < 1000; i++)
      if (condition()) return true;
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
    while (std::chrono::steady_clock::now() < end) {
      if (condition()) return true;
      std::this_thread::yield();
    }
    return false;
  }

  int threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int)>* work_ = nullptr;
  std::atomic<int> pending_{0}, sleeping_{0};
  std::atomic<long> round_{0};
  std::atomic<bool> ending_{false}, waiting_{false};
};

}  // namespace spiking
