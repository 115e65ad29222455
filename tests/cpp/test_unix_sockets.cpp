#include <doctest/doctest.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/frames.hpp"
#include "support/raw_server.hpp"
#include "support/recorder.hpp"

using namespace wspool_test;
using wspool::error_e;

namespace {

/// Listens on a Unix socket in a folder of its own.
class unix_listener {
public:
    unix_listener() {
        REQUIRE(::mkdtemp(folder_.data()) != nullptr);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path().copy(address.sun_path, sizeof address.sun_path - 1);
        descriptor_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
        REQUIRE(::bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
                0);
        REQUIRE(::listen(descriptor_, 8) == 0);
    }
    ~unix_listener() {
        ::close(descriptor_);
        ::unlink(path().c_str());
        ::rmdir(folder_.c_str());
    }
    unix_listener(const unix_listener&) = delete;
    unix_listener& operator=(const unix_listener&) = delete;

    [[nodiscard]] std::string path() const { return folder_ + "/s"; }
    /// Plays the scripts one after the other, each on one connection.
    std::thread serve(std::vector<raw_server::script_t> scripts) {
        return std::thread([this, scripts = std::move(scripts)] {
            for (const auto& script : scripts) {
                raw_peer peer(::accept(descriptor_, nullptr, nullptr));
                script(peer);
            }
        });
    }

private:
    std::string folder_ = "/tmp/wspool-XXXXXX";
    int descriptor_ = -1;
};

}  // namespace

TEST_CASE("Unix sockets: connected, redirected within the origin, and told by their path") {
    // All above the connector is as with TCP.
    unix_listener listener;
    std::string host;
    auto server = listener.serve({
        [&](raw_peer& peer) {
            const std::string head = peer.read_request();
            host = head.substr(head.find("Host: "), 12);
            peer.send("HTTP/1.1 302 x\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n");
        },
        [](raw_peer& peer) {
            if (!peer.upgrade()) return;
            peer.send(text("hello") + close(1000, "done"));
            received_frame_t f;
            CHECK(peer.read_until(8, f));
        },
    });
    wspool::options_t options;
    options.unix_path = listener.path();
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, "ws://name/a", options);
    REQUIRE(connection->Wait_closed(patience));
    server.join();
    CHECK(log->events() == std::vector<std::string>{"open", "close 1000 done"});
    CHECK(log->messages() == std::vector<std::string>{"hello"});
    CHECK(host == "Host: name\r\n");
    CHECK(connection->Get_request().path == "/b");
    CHECK(connection->Get_remote_address() == std::make_pair(listener.path(), std::uint16_t{0}));
    CHECK(connection->Get_local_address().first == "");
}

TEST_CASE("Unix sockets: a redirect to another origin is refused") {
    // The path leads to one server only.
    unix_listener listener;
    auto server = listener.serve({[](raw_peer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 302 x\r\nLocation: //other/\r\nContent-Length: 0\r\n\r\n");
    }});
    wspool::options_t options;
    options.unix_path = listener.path();
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, "ws://name/", options);
    REQUIRE(connection->Wait_closed(patience));
    server.join();
    CHECK(log->error_code() == error_e::SECURITY);
}

TEST_CASE("Unix sockets: a path without a socket fails with CONNECT and the system's error") {
    // As a refused port does.
    wspool::options_t options;
    options.unix_path = "/nowhere/at/all";
    wspool::endpoint_c endpoint;
    auto [log, connection] = start(endpoint, "ws://name/", options);
    REQUIRE(connection->Wait_closed(patience));
    CHECK(log->error_code() == error_e::CONNECT);
    CHECK(connection->Get_error()->System_code() == ENOENT);
    CHECK(log->error_text().find("/nowhere/at/all") != std::string::npos);
}

TEST_CASE("Unix sockets: a path that no Unix socket can have is refused at the call") {
    // The system would cut it off.
    wspool::endpoint_c endpoint;
    const auto refuse = [&](const wspool::options_t& options) {
        std::shared_ptr<wspool::metadata_c> connection;
        const auto error = endpoint.Create_new_connection(
            "ws://localhost/", std::make_shared<recorder>(), options, connection);
        REQUIRE(error != nullptr);
        CHECK(error->Code() == error_e::INVALID_ARGUMENT);
        CHECK(error->Error_msg().find("unix_path") != std::string::npos);
    };
    wspool::options_t options;
    options.unix_path = "/" + std::string(200, 'x');
    refuse(options);
    options.unix_path = std::string("/a\0b", 4);
    refuse(options);
    options.unix_path = "/a";
    options.local_port = 5;
    refuse(options);
}
