#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "attempt_gate.hpp"

using wspool::detail::attempt_gate;
using outcome_e = attempt_gate::outcome_e;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t millisecond = 1'000'000;

void fail(attempt_gate& gate, const std::string& host, std::int64_t now) {
    gate.enter(host, false);
    gate.settled(host, outcome_e::FAILED, now);
}

/// Asks, and connects at once where it may.
std::int64_t go(attempt_gate& gate, const std::string& host, std::int64_t now) {
    const std::int64_t wait = gate.ask(host, now);
    if (wait == 0) gate.enter(host, true);
    return wait;
}

}  // namespace

TEST_CASE("attempt gate: at a healthy host nobody waits") {
    // Thousands of connections that begin together must not queue for no reason.
    attempt_gate gate;
    for (int i = 0; i < 5000; ++i) CHECK(go(gate, "host", second) == 0);
    for (int i = 0; i < 5000; ++i) gate.settled("host", outcome_e::PROVEN, 2 * second);
    CHECK(go(gate, "host", 2 * second) == 0);
}

TEST_CASE("attempt gate: at most ten attempts in the first ten seconds of a failing host") {
    // However many connections want to, and however eagerly they ask.
    attempt_gate gate;
    fail(gate, "host", 0);
    std::vector<std::int64_t> next_question(200, 0);
    std::vector<std::int64_t> let_through{0};
    for (std::int64_t now = 0; now < 30 * second; now += 10 * millisecond) {
        for (std::int64_t& next : next_question) {
            if (now < next) continue;
            const std::int64_t wait = go(gate, "host", now);
            REQUIRE(wait >= 0);
            next = now + wait;
            if (wait != 0) continue;
            let_through.push_back(now);
            gate.settled("host", outcome_e::FAILED, now + millisecond);
        }
    }
    const auto within = [&](std::int64_t from) {
        return std::count_if(let_through.begin(), let_through.end(),
                             [&](auto at) { return at >= from && at < from + 10 * second; });
    };
    for (const std::int64_t begin : let_through) CHECK(within(begin) <= 10);
    CHECK(let_through.size() > 20);  // and they go on
}

TEST_CASE("attempt gate: what is still under way holds the next one back") {
    // A host that accepts and never answers is in trouble as well.
    attempt_gate gate;
    fail(gate, "host", 0);
    const std::int64_t later = 5 * second;
    CHECK(go(gate, "host", later) == 0);
    CHECK(go(gate, "host", later) == attempt_gate::interval);
    const std::int64_t much_later = 60 * second;
    const std::int64_t wait = go(gate, "host", much_later);
    CHECK(wait > 0);
    CHECK(wait < second);
    gate.settled("host", outcome_e::UNKNOWN, much_later);
    CHECK(go(gate, "host", much_later) == 0);
    CHECK(go(gate, "other", 0) == 0);  // another host's trouble is none of ours
}

TEST_CASE("attempt gate: what is asked for and never made holds nobody up") {
    // User code makes an attempt between asking and connecting, and may hang; others have their
    // turns meanwhile, and no more than their turns.
    attempt_gate gate;
    fail(gate, "host", 0);
    std::int64_t now = 5 * second;
    for (int i = 0; i < 10; ++i) {
        CHECK(gate.ask("host", now) == 0);
        CHECK(gate.ask("host", now) == attempt_gate::interval);
        now += attempt_gate::interval;
    }
    CHECK(go(gate, "host", now) == 0);
    now += attempt_gate::interval;
    CHECK(gate.ask("host", now) > 0);  // that one connects
    gate.settled("host", outcome_e::PROVEN, now);
    // Where two may be under way, what is made may take both places, but not for good.
    CHECK(gate.ask("host", now) == 0);
    CHECK(gate.ask("host", now) == attempt_gate::interval);
    now += attempt_gate::interval;
    CHECK(go(gate, "host", now) == 0);
    for (int i = 0; i < 12; ++i) gate.withdraw("host");
    gate.settled("host", outcome_e::PROVEN, now);
    for (int i = 0; i < 4; ++i) CHECK(gate.ask("host", now) == 0);
    CHECK(gate.ask("host", now) > 0);
}

TEST_CASE("attempt gate: a host that comes back is let in by twos, fours, and so on") {
    // Each that stays doubles how many may be under way; at 32 all may come.
    attempt_gate gate;
    fail(gate, "host", 0);
    std::int64_t now = 10 * second;
    unsigned window = 1;
    CHECK(go(gate, "host", now) == 0);
    while (window * 2 < attempt_gate::healthy_from) {
        now += second;
        gate.settled("host", outcome_e::PROVEN, now);  // the last one that was under way
        window *= 2;
        for (unsigned i = 0; i < window; ++i) CHECK(go(gate, "host", now) == 0);
        CHECK(go(gate, "host", now) > 0);
        for (unsigned i = 1; i < window; ++i) gate.settled("host", outcome_e::UNKNOWN, now);
    }
    gate.settled("host", outcome_e::PROVEN, now);
    for (int i = 0; i < 1000; ++i) CHECK(go(gate, "host", now) == 0);
}

TEST_CASE("attempt gate: a failure on the way back begins anew") {
    // What was let in after the first that stayed may be what the host cannot bear.
    attempt_gate gate;
    fail(gate, "host", 0);
    const std::int64_t now = 10 * second;
    CHECK(go(gate, "host", now) == 0);
    gate.settled("host", outcome_e::PROVEN, now);
    CHECK(go(gate, "host", now) == 0);
    gate.settled("host", outcome_e::FAILED, now);
    CHECK(go(gate, "host", now) == attempt_gate::interval);
    CHECK(go(gate, "host", now + attempt_gate::interval) == 0);
    CHECK(go(gate, "host", now + attempt_gate::interval) > 0);
}

TEST_CASE("attempt gate: Retry-After holds everybody back, for an hour at most") {
    // At a healthy host too: it has asked for it. A shorter one does not undo a longer one.
    attempt_gate gate;
    gate.hold("host", 5 * second, second);
    CHECK(go(gate, "host", second) == 5 * second);
    gate.hold("host", second, second);
    CHECK(go(gate, "host", 2 * second) == 4 * second);
    CHECK(go(gate, "host", 6 * second) == 0);
    gate.hold("host", attempt_gate::longest_hold * 24, 6 * second);
    CHECK(go(gate, "host", 6 * second) == attempt_gate::longest_hold);
    fail(gate, "host", 6 * second);  // and a failure shortens nothing
    CHECK(go(gate, "host", 6 * second) == attempt_gate::longest_hold);
}

TEST_CASE("attempt gate: of many hosts those that say nothing are forgotten") {
    // A client that visits host after host must not remember them all; a long idle failure is
    // forgotten then too, but neither an attempt under way nor a host that asked for a pause.
    const std::int64_t now = 300 * second;
    const auto visit_many = [&](attempt_gate& gate) {
        for (int i = 0; i < 2000; ++i) {
            const std::string host = "host" + std::to_string(i);
            CHECK(go(gate, host, now) == 0);
            gate.settled(host, outcome_e::PROVEN, now);
        }
    };
    const auto is_remembered = [&](attempt_gate& gate) {
        const std::int64_t first = go(gate, "failed", now);
        return first != 0 || go(gate, "failed", now) != 0;
    };
    attempt_gate few;
    fail(few, "failed", 0);
    CHECK(is_remembered(few));
    attempt_gate many;
    fail(many, "failed", 0);
    fail(many, "lately", now - second);
    many.hold("held", attempt_gate::longest_hold, 0);
    visit_many(many);
    CHECK_FALSE(is_remembered(many));
    CHECK(go(many, "lately", now) > 0);
    CHECK(go(many, "held", now) > 0);
    attempt_gate busy;
    fail(busy, "failed", 0);
    CHECK(go(busy, "failed", now - 200 * second) == 0);
    visit_many(busy);
    CHECK(is_remembered(busy));
}

TEST_CASE("attempt gate: one for the process") {
    // A server does not care whose connections they are.
    CHECK(&attempt_gate::of_process() == &attempt_gate::of_process());
}

TEST_CASE("attempt gate: after fork() the child has one of its own") {
    // The parent's may be locked for good there, by a thread that does not exist.
    attempt_gate& parents = attempt_gate::of_process();
    fail(parents, "forked", second);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        attempt_gate& own = attempt_gate::of_process();
        ::_exit(&own != &parents && own.ask("forked", second) == 0 ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(&attempt_gate::of_process() == &parents);
}
