#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <thread>

#include "runtime/loop.hpp"
#include "support/recorder.hpp"

using namespace wspool_test;
using wspool::runtime::loop;

namespace {

struct running_loop {
    std::shared_ptr<loop> it = std::make_shared<loop>();
    running_loop() { it->start(); }
    ~running_loop() { CHECK(it->stop(patience)); }
    loop* operator->() const { return it.get(); }
    /// Has `call` delivered as user code.
    void deliver(std::function<void()> call) const {
        it->post([l = it.get(), call = std::move(call)] { l->turn().add(call); });
    }
};

}  // namespace

TEST_CASE("loop: posts and timers run while a delivery blocks") {
    // A callback that blocks must not cost a ping or a read.
    running_loop l;
    signal_t release;
    signal_t blocked;
    signal_t posted;
    signal_t expired;
    l.deliver([&] {
        blocked.set();
        CHECK(release.wait());
    });
    REQUIRE(blocked.wait());
    l->post([&] { posted.set(); });
    CHECK(posted.wait());
    asio::steady_timer timer(l->io());
    l->post([&] {
        timer.expires_after(1ms);
        timer.async_wait([&](std::error_code) { expired.set(); });
    });
    CHECK(expired.wait());
    release.set();
}

TEST_CASE("loop: what came up behind a stalled delivery follows in order, once") {
    // The backlog must neither lose, repeat nor reorder.
    running_loop l;
    signal_t release;
    signal_t done;
    std::vector<int> seen;
    l.deliver([&] { CHECK(release.wait()); });
    for (int i = 0; i < 1000; ++i) l.deliver([&seen, i] { seen.push_back(i); });
    signal_t all_posted;
    l->post([&] { all_posted.set(); });
    REQUIRE(all_posted.wait());
    CHECK(seen.empty());
    release.set();
    l.deliver([&] { done.set(); });
    REQUIRE(done.wait());
    REQUIRE(seen.size() == 1000);
    for (int i = 0; i < 1000; ++i) CHECK(seen[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("loop: the two threads swap roles as often as it takes") {
    // After a stall the thread that had stalled stands by, and must be able to take over again.
    running_loop l;
    for (int round = 0; round < 10; ++round) {
        signal_t release;
        signal_t blocked;
        signal_t posted;
        signal_t after;
        l.deliver([&] {
            blocked.set();
            CHECK(release.wait());
        });
        REQUIRE(blocked.wait());
        l->post([&] { posted.set(); });
        REQUIRE(posted.wait());
        release.set();
        l.deliver([&] { after.set(); });
        REQUIRE(after.wait());
    }
}

TEST_CASE("loop: random stalls lose nothing and keep the order") {
    // Take-over and catching up race with posts from other threads; deliveries never overlap.
    running_loop l;
    std::mt19937 random(3);
    constexpr int count = 3000;
    std::vector<int> seen;
    std::atomic<int> inside{0};
    std::atomic<bool> overlapped{false};
    signal_t done;
    for (int i = 0; i < count; ++i) {
        const auto stall = std::chrono::milliseconds(random() % 150 == 0 ? 15 + random() % 20 : 0);
        l.deliver([&, i, stall] {
            if (inside.fetch_add(1) != 0) overlapped = true;
            if (stall.count() != 0) std::this_thread::sleep_for(stall);  // the fault itself
            seen.push_back(i);
            inside.fetch_sub(1);
            if (i + 1 == count) done.set();
        });
        if (i % 50 == 0) std::this_thread::yield();
    }
    REQUIRE(done.wait());
    CHECK_FALSE(overlapped);
    REQUIRE(seen.size() == count);
    bool ordered = true;
    for (int i = 0; i < count; ++i) ordered &= seen[static_cast<std::size_t>(i)] == i;
    CHECK(ordered);
}

TEST_CASE("loop.stop: with a stalled delivery returns in time, and the rest ends later") {
    // A callback that never returns must not hold a program's exit.
    auto l = std::make_shared<loop>();
    l->start();
    signal_t release;
    signal_t blocked;
    auto token = std::make_shared<int>(0);
    l->post([&, raw = l.get()] {
        raw->turn().add([&, token] {
            blocked.set();
            CHECK(release.wait());
        });
    });
    REQUIRE(blocked.wait());
    CHECK_FALSE(l->stop(10ms));
    release.set();
    CHECK(l->stop(patience));
    CHECK(token.use_count() == 1);
}

TEST_CASE("loop.stop: lets go of what was posted") {
    // Handlers keep connections alive, and connections the loop: a cycle, if left.
    auto token = std::make_shared<int>(0);
    {
        running_loop l;
        for (int i = 0; i < 100; ++i) l->post([token] {});
    }
    CHECK(token.use_count() == 1);
    auto l = std::make_shared<loop>();
    l->start();
    CHECK(l->stop(patience));
    l->post([token] {});
    CHECK(token.use_count() == 1);
}

TEST_CASE("loop.stop: from its own thread returns false at once") {
    // It would wait for itself.
    auto l = std::make_shared<loop>();
    l->start();
    signal_t done;
    bool ended = true;
    l->post([&, raw = l.get()] {
        raw->turn().add([&, raw] {
            ended = raw->stop(10s);
            done.set();
        });
    });
    REQUIRE(done.wait());
    CHECK_FALSE(ended);
    CHECK(l->stop(patience));
}

TEST_CASE("loop: a stall after a long idle time is noticed") {
    // The standby sleeps deeply after 5 s without a delivery; the next delivery wakes it.
    running_loop l;
    signal_t first;
    l.deliver([&] { first.set(); });
    REQUIRE(first.wait());
    std::this_thread::sleep_for(5500ms);  // the condition itself
    signal_t release;
    signal_t blocked;
    signal_t posted;
    l.deliver([&] {
        blocked.set();
        CHECK(release.wait());
    });
    REQUIRE(blocked.wait());
    l->post([&] { posted.set(); });
    CHECK(posted.wait());
    release.set();
}

TEST_CASE("loop.owns: on the loop, not in user code, not elsewhere") {
    // It decides whether websocketpp's state may be touched.
    running_loop l;
    CHECK_FALSE(l->owns());
    CHECK_FALSE(l->on_own_thread());
    signal_t done;
    l->post([&] {
        CHECK(l->owns());
        l->turn().add([&] {
            CHECK_FALSE(l->owns());
            CHECK(l->delivering());
            CHECK(l->enter_once());
            CHECK(l->owns());
            l->leave();
            CHECK_FALSE(l->enter_once());
            done.set();
        });
    });
    CHECK(done.wait());
}
