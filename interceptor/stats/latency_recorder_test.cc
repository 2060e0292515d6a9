#include "interceptor/stats/latency_recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interceptor/breaker/sync.h"
#include "interceptor/breaker/test_sync.h"

namespace fusebox {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// More than have a shard of their own.
constexpr int kThreads = 8;
constexpr int kShards = 4;

const CallsOfCode* Find(const std::vector<CallsOfCode>& calls, int code) {
  const auto found =
      std::find_if(calls.begin(), calls.end(),
                   [code](const CallsOfCode& c) { return c.code == code; });
  return found == calls.end() ? nullptr : &*found;
}

std::uint64_t CallsIn(const std::vector<CallsOfCode>& all) {
  std::uint64_t sum = 0;
  for (const CallsOfCode& of_code : all) sum += of_code.calls;
  return sum;
}

TEST(LatencyRecorderTest, CountsByCode) {
  LatencyRecorder recorder(kShards);
  EXPECT_TRUE(recorder.Snapshot().empty());
  recorder.Record(14, milliseconds(3));
  recorder.Record(0, milliseconds(1));
  recorder.Record(0, milliseconds(2));
  recorder.RecordWithoutLatency(0);
  recorder.RecordWithoutLatency(5);

  const std::vector<CallsOfCode> calls = recorder.Snapshot();
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[0].code, 0);
  EXPECT_EQ(calls[0].calls, 3u);
  EXPECT_EQ(calls[0].latency.count(), 2u);
  EXPECT_EQ(calls[0].latency.sum(), milliseconds(3));
  EXPECT_EQ(calls[0].latency.min(), milliseconds(1));
  EXPECT_EQ(calls[0].latency.max(), milliseconds(2));
  EXPECT_EQ(calls[1].code, 5);
  EXPECT_EQ(calls[1].calls, 1u);
  EXPECT_EQ(calls[1].latency.count(), 0u);
  EXPECT_EQ(calls[2].code, 14);
  EXPECT_EQ(calls[2].calls, 1u);
  EXPECT_EQ(calls[2].latency.sum(), milliseconds(3));
  EXPECT_EQ(recorder.calls(), 5u);
}

TEST(LatencyRecorderTest, CodesThatGrpcDoesNotKnowAreOne) {
  LatencyRecorder recorder(kShards);
  for (int code : {16, 17, 18, 1000, -1}) recorder.Record(code, seconds(1));
  const std::vector<CallsOfCode> calls = recorder.Snapshot();
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].code, 16);
  EXPECT_EQ(calls[0].calls, 1u);
  EXPECT_EQ(calls[1].code, CallsOfCode::kOther);
  EXPECT_EQ(calls[1].calls, 4u);
}

TEST(LatencyRecorderTest, TheShortestAndTheLongestHaveTheirPlace) {
  LatencyRecorder recorder(1);
  for (Duration d : {nanoseconds(-7), nanoseconds(0), Duration::max()}) {
    recorder.Record(0, d);
  }
  const LatencySnapshot latency = recorder.Snapshot()[0].latency;
  EXPECT_EQ(latency.count(), 3u);
  EXPECT_EQ(latency.min(), Duration::zero());
  EXPECT_EQ(latency.max(), Duration::max());
  EXPECT_EQ(latency.sum(), Duration::max());
}

TEST(LatencyRecorderTest, MemoryIsBounded) {
  LatencyRecorder recorder(2);
  const std::size_t idle = recorder.memory_bytes();
  EXPECT_LE(idle, 256u);
  recorder.Record(0, microseconds(1000));
  EXPECT_EQ(recorder.memory_bytes(), idle + std::size_t{2} * 512);
  recorder.Record(0, microseconds(600));
  EXPECT_EQ(recorder.memory_bytes(), idle + std::size_t{2} * 512)
      << "the same octave";

  // All that can be, from two threads: one with a shard of its own and one
  // without.
  const auto everything = [&recorder] {
    for (int code = -1; code <= 20; ++code) {
      for (int i = 0; i < LatencyBuckets::kCount; ++i) {
        recorder.Record(code, LatencyBuckets::Low(i));
      }
    }
  };
  everything();
  std::thread(everything).join();
  EXPECT_EQ(recorder.memory_bytes(), LatencyRecorder::MaxBytes(2));
  std::cout << "bytes of one method: " << idle << " at rest; at most "
            << LatencyRecorder::MaxBytes(4) << " with 4 shards, "
            << LatencyRecorder::MaxBytes(64) << " with 64\n";
}

TEST(LatencyRecorderTest, TotalsOfManyThreadsAreExact) {
  constexpr int kRounds = 300;
  constexpr int kLatencies = 1000;
  constexpr std::uint64_t kCalls =
      std::uint64_t{kThreads} * kRounds * kLatencies;
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> ns(13, 0.5);
  std::vector<Duration> latencies;
  LatencySnapshot expected;
  for (int i = 0; i < kLatencies; ++i) {
    latencies.emplace_back(static_cast<std::int64_t>(ns(random)));
    expected.Add(latencies.back(), kCalls / kLatencies);
  }

  LatencyRecorder recorder(kShards);
  RunThreads(kThreads, [&](int) {
    for (int round = 0; round < kRounds; ++round) {
      for (std::size_t i = 0; i < latencies.size(); ++i) {
        recorder.Record(0, latencies[i]);
        recorder.RecordWithoutLatency(i % 2 == 0 ? 0 : 1);
      }
    }
  });

  const std::vector<CallsOfCode> calls = recorder.Snapshot();
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].calls, kCalls + kCalls / 2);
  EXPECT_EQ(calls[1].calls, kCalls / 2);
  EXPECT_EQ(recorder.calls(), 2 * kCalls);
  const LatencySnapshot& latency = calls[0].latency;
  EXPECT_EQ(latency.count(), expected.count());
  EXPECT_EQ(latency.sum(), expected.sum());
  EXPECT_EQ(latency.min(), expected.min());
  EXPECT_EQ(latency.max(), expected.max());
  for (double q : {0.01, 0.5, 0.9, 0.999}) {
    EXPECT_EQ(latency.Quantile(q), expected.Quantile(q)) << q;
  }
}

// A slot changes hands with what was counted in it.
TEST(LatencyRecorderTest, ThreadsThatComeAndGoLoseNothing) {
  LatencyRecorder recorder(kShards);
  for (int i = 0; i < 100; ++i) {
    RunThreads(3, [&](int) { recorder.Record(0, milliseconds(1)); });
  }
  EXPECT_EQ(recorder.Snapshot()[0].calls, 300u);
  EXPECT_EQ(recorder.Snapshot()[0].latency.sum(), milliseconds(300));
}

TEST(LatencyRecorderTest, ThreadsThatMeetAtFirst) {
  constexpr int kRounds = 200;
  std::vector<std::unique_ptr<LatencyRecorder>> recorders;
  for (int i = 0; i < kRounds; ++i) {
    // One shard: all threads make the same parts of it.
    recorders.push_back(std::make_unique<LatencyRecorder>(1));
  }
  Barrier round(kThreads);
  RunThreads(kThreads, [&](int) {
    for (const auto& recorder : recorders) {
      round.Wait();
      recorder->Record(0, milliseconds(1));
    }
  });
  const std::size_t at_rest = LatencyRecorder(1).memory_bytes();
  for (const auto& recorder : recorders) {
    EXPECT_EQ(recorder->Snapshot()[0].calls, std::uint64_t{kThreads});
    EXPECT_EQ(recorder->memory_bytes(), at_rest + std::size_t{2} * 512);
  }
}

// A reader beside kThreads threads, numbered from 0, that record until it has
// looked enough.
template <class Record, class Look>
void LookWhileRecording(Record record, Look look) {
  LatencyRecorder recorder(kShards);
  std::atomic<bool> done{false};
  std::atomic<int> recording{0};
  RunThreads(kThreads + 1, [&](int thread) {
    if (thread < kThreads) {
      record(recorder, thread);
      ++recording;
      while (!done) record(recorder, thread);
    } else {
      while (recording < kThreads) std::this_thread::yield();
      for (int i = 0; i < 2000; ++i) look(recorder.Snapshot());
      done = true;
    }
  });
}

TEST(LatencyRecorderTest, ASnapshotIsOfWholeCalls) {
  constexpr Duration kLatency = milliseconds(8);
  // A code for each thread: else the calls of another one would make up for one
  // that is seen in part.
  LookWhileRecording([=](LatencyRecorder& recorder,
                         int thread) { recorder.Record(thread, kLatency); },
                     [=](const std::vector<CallsOfCode>& calls) {
                       ASSERT_EQ(calls.size(), std::size_t{kThreads});
                       for (const CallsOfCode& of_code : calls) {
                         const LatencySnapshot& latency = of_code.latency;
                         const auto count =
                             static_cast<std::int64_t>(latency.count());
                         EXPECT_GE(latency.sum(), count * kLatency);
                         EXPECT_EQ(latency.min(), kLatency);
                         EXPECT_EQ(latency.max(), kLatency);
                       }
                     });
}

TEST(LatencyRecorderTest, ASnapshotIncludesTheOneBefore) {
  std::vector<CallsOfCode> before;
  LookWhileRecording(
      [](LatencyRecorder& recorder, int) {
        recorder.Record(0, microseconds(900));
        recorder.Record(4, hours(1));
        recorder.RecordWithoutLatency(9);
      },
      [&before](const std::vector<CallsOfCode>& calls) {
        for (const CallsOfCode& earlier : before) {
          const CallsOfCode* const later = Find(calls, earlier.code);
          ASSERT_NE(later, nullptr);
          EXPECT_GE(later->calls, earlier.calls);
          EXPECT_GE(later->latency.sum(), earlier.latency.sum());
          EXPECT_EQ(later->latency.Since(earlier.latency).count(),
                    later->latency.count() - earlier.latency.count());
        }
        before = calls;
      });
  EXPECT_GE(CallsIn(before), 3u * kThreads);
}

}  // namespace
}  // namespace fusebox
