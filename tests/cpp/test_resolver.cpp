#include <doctest/doctest.h>

#include <netdb.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <asio.hpp>

#include "support/recorder.hpp"
#include "transport/resolver.hpp"
#include "wspool/wspool.hpp"

using namespace std::string_literals;
using namespace wspool_test;
using wspool::error_e;
using wspool::transport::resolver;

namespace {

/// A name server that answers "slow..." when it is told to, "bad..." with an error and all else at
/// once. While it exists, everybody asks it.
class name_server {
public:
    name_server() {
        const std::lock_guard lock(mutex());
        current() = this;
        previous_ = resolver::set_lookup(look_up);
    }
    ~name_server() {
        release();
        std::unique_lock lock(mutex());
        changed().wait(lock, [this] { return inside_ == 0; });
        resolver::set_lookup(previous_);
        current() = nullptr;
    }
    name_server(const name_server&) = delete;
    name_server& operator=(const name_server&) = delete;

    /// Lets all slow ones go.
    void release() {
        const std::lock_guard lock(mutex());
        released_ = true;
        changed().notify_all();
    }
    /// Waits until so many look-ups are under way.
    bool wait_inside(std::size_t count) {
        std::unique_lock lock(mutex());
        return changed().wait_for(lock, patience, [&] { return inside_ >= count; });
    }
    std::multiset<std::string> asked() {
        const std::lock_guard lock(mutex());
        return asked_;
    }

private:
    static name_server*& current() {
        static name_server* one = nullptr;
        return one;
    }
    static std::mutex& mutex() {
        static std::mutex one;
        return one;
    }
    static std::condition_variable& changed() {
        static std::condition_variable one;
        return one;
    }
    static std::error_code look_up(const std::string& host, std::uint16_t port,
                                   resolver::endpoints_t& out) {
        std::unique_lock lock(mutex());
        name_server* const self = current();
        if (self == nullptr) return {EAI_AGAIN, resolver::category()};
        self->asked_.insert(host);
        ++self->inside_;
        changed().notify_all();
        if (host.rfind("slow", 0) == 0) changed().wait(lock, [&] { return self->released_; });
        --self->inside_;
        changed().notify_all();
        if (host.rfind("bad", 0) == 0) return {EAI_NONAME, resolver::category()};
        out.emplace_back(asio::ip::make_address("127.0.0.1"), port);
        return {};
    }

    resolver::lookup_t previous_ = nullptr;
    bool released_ = false;  // all guarded by mutex()
    std::size_t inside_ = 0;
    std::multiset<std::string> asked_;
};

/// Runs `io` until the condition holds.
template <typename Condition>
bool run_until(asio::io_context& io, Condition&& holds) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!holds() && std::chrono::steady_clock::now() < until) {
        io.restart();
        io.run_for(5ms);
    }
    return holds();
}

}  // namespace

TEST_CASE("resolver: a name that is not answered holds up no other") {
    // One name server out of order must not stop the rest.
    name_server names;
    asio::io_context io;
    bool slow_found = false;
    auto slow =
        resolver::resolve(io, "slow.test", 1, [&](auto, const auto&) { slow_found = true; });
    REQUIRE(names.wait_inside(1));
    for (int i = 0; i < 50; ++i) {
        bool found = false;
        auto query = resolver::resolve(io, "quick.test", 80,
                                       [&](std::error_code failed, const auto& endpoints) {
                                           CHECK_FALSE(failed);
                                           REQUIRE(endpoints.size() == 1);
                                           CHECK(endpoints.front().port() == 80);
                                           found = true;
                                       });
        REQUIRE(run_until(io, [&] { return found; }));
    }
    CHECK_FALSE(slow_found);
    names.release();
    CHECK(run_until(io, [&] { return slow_found; }));
}

TEST_CASE("resolver: with all threads taken the next name waits, and is looked up then") {
    // The threads are bounded: a thousand names at once must not make a thousand of them.
    name_server names;
    asio::io_context io;
    std::size_t found = 0;
    std::vector<resolver::query> queries;
    const std::size_t count = resolver::most_threads + 5;
    for (std::size_t i = 0; i < count; ++i) {
        queries.push_back(resolver::resolve(io, "slow" + std::to_string(i), 1,
                                            [&](auto, const auto&) { ++found; }));
    }
    REQUIRE(names.wait_inside(resolver::most_threads));
    CHECK(names.asked().size() == resolver::most_threads);
    names.release();
    CHECK(run_until(io, [&] { return found == count; }));
    CHECK(names.asked().size() == count);
}

TEST_CASE("resolver: who cancelled is not told, whether it was under way, waiting or answered") {
    // What was asked for a connection that is gone must not come back to it.
    name_server names;
    asio::io_context io;
    int told = 0;
    const auto tell = [&](auto, const auto&) { ++told; };
    auto under_way = resolver::resolve(io, "slow.test", 1, tell);
    REQUIRE(names.wait_inside(1));
    {
        const auto destroyed = resolver::resolve(io, "slow.too", 1, tell);
        REQUIRE(names.wait_inside(2));
    }
    auto replaced = resolver::resolve(io, "slow.three", 1, tell);
    REQUIRE(names.wait_inside(3));
    replaced = resolver::query();
    under_way.cancel();
    under_way.cancel();  // again is nothing
    names.release();
    // Answered, but io has not run.
    auto answered = resolver::resolve(io, "quick.test", 1, tell);
    bool last = false;
    auto other = resolver::resolve(io, "last.test", 1, [&](auto, const auto&) { last = true; });
    while (names.asked().count("quick.test") == 0 || names.asked().count("last.test") == 0)
        std::this_thread::sleep_for(1ms);
    answered.cancel();
    CHECK(run_until(io, [&] { return last; }));
    io.restart();
    io.run_for(20ms);
    CHECK(told == 0);
}

TEST_CASE("resolver: an io_context may be destroyed while a look-up for it goes on") {
    // getaddrinfo cannot be interrupted; an endpoint that is closed does not wait for it.
    name_server names;
    auto io = std::make_unique<asio::io_context>();
    auto query = std::make_unique<resolver::query>(
        resolver::resolve(*io, "slow.test", 1, [](auto, const auto&) { CHECK(false); }));
    REQUIRE(names.wait_inside(1));
    query.reset();
    io.reset();
    names.release();
}

TEST_CASE("resolver: an endpoint may be closed while a look-up goes on") {
    // The same through the whole stack, and quickly.
    name_server names;
    const auto begin = std::chrono::steady_clock::now();
    auto log = std::make_shared<recorder>();
    {
        wspool::endpoint_c endpoint;
        auto started = start(endpoint, "ws://slow.test:1/", {}, log);
        REQUIRE(names.wait_inside(1));
        CHECK(endpoint.Stop(5s));
    }
    CHECK(std::chrono::steady_clock::now() - begin < 5s);
    CHECK(log->events() == std::vector<std::string>{"fail"});
    CHECK(log->error_code() == error_e::ABORTED);
}

TEST_CASE("resolver: its errors have the system's words") {
    // And say which host it was.
    name_server names;
    asio::io_context io;
    std::error_code error;
    auto query =
        resolver::resolve(io, "bad.test", 1, [&](std::error_code failed, const auto& found) {
            CHECK(found.empty());
            error = failed;
        });
    REQUIRE(run_until(io, [&] { return static_cast<bool>(error); }));
    CHECK(error == std::error_code(EAI_NONAME, resolver::category()));
    CHECK(error.message() == gai_strerror(EAI_NONAME));
    CHECK(std::string(error.category().name()) == "getaddrinfo");
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, "ws://bad.test:1/");
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->error_code() == error_e::RESOLVE);
    CHECK(log->error_text() == "cannot resolve host bad.test: "s + gai_strerror(EAI_NONAME));
}

TEST_CASE("resolver: the system's own look-up") {
    // Of what every machine knows, and of what none does.
    resolver::endpoints_t found;
    CHECK_FALSE(resolver::system_lookup("localhost", 80, found));
    REQUIRE_FALSE(found.empty());
    for (const auto& one : found) {
        CHECK(one.port() == 80);
        CHECK(one.address().is_loopback());
    }
    resolver::endpoints_t none;
    CHECK(resolver::system_lookup("no such name.invalid", 80, none));
    CHECK(none.empty());
}
