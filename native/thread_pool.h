// A few threads that share the rows of one layer: they sleep between calls and end with the pool.
#pragma once
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
    {
      std::lock_guard<std::mutex> lock(mutex_);
      work_ = &work;
      pending_ = int(workers_.size());
      round_++;
    }
    wake_.notify_all();
    work(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&] { return pending_ == 0; });
    work_ = nullptr;
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
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  void loop(int index) {
    long seen = 0;
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return ending_ || round_ != seen; });
      if (ending_) return;
      seen = round_;
      const std::function<void(int)>& work = *work_;
      lock.unlock();
      work(index);
      lock.lock();
      if (--pending_ == 0) done_.notify_one();
    }
  }

  int threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int)>* work_ = nullptr;
  int pending_ = 0;
  long round_ = 0;
  bool ending_ = false;
};

}  // namespace spiking
