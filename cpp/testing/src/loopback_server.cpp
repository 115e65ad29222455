#include "wspool/testing/loopback_server.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "handshake.hpp"
#include "net.hpp"
#include "process.hpp"
#include "record_book.hpp"
#include "replay_script.hpp"
#include "session.hpp"

namespace wspool::testing {
namespace {

using asio::ip::tcp;

constexpr std::size_t read_buffer_size = 256U << 10U;
constexpr std::chrono::milliseconds accept_retry{10};
constexpr double highest_rate = 1e9;

error_ptr invalid(std::string message) {
    return std::make_unique<const error_c>(error_e::INVALID_ARGUMENT, std::move(message));
}

error_ptr check(const loopback_options_t& options) {
    if (options.cert_file.empty() != options.key_file.empty()) {
        return invalid("cert_file and key_file go together");
    }
    for (const std::string& name : options.subprotocols) {
        if (!is_token(name)) return invalid("subprotocols: '" + name + "' is not a token");
    }
    if (options.mode != mode_e::REPLAYING) return nullptr;
    const replay_options_t& replay = options.replay;
    if (replay.messages.empty()) return invalid("messages: at least one is needed");
    if (replay.repeat == std::uint64_t{0}) return invalid("repeat: must be at least 1");
    if (!std::isfinite(replay.rate) || replay.rate < 0 || replay.rate > highest_rate) {
        return invalid("rate: must be a number of messages a second, at most 1e9");
    }
    return nullptr;
}

}  // namespace

struct loopback_server_c::impl {
    explicit impl(loopback_options_t given)
        : options(std::move(given)),
          script(options.mode == mode_e::REPLAYING
                     ? std::make_unique<const replay_script>(options.replay)
                     : nullptr),
          book(script.get()),
          read_buffer(read_buffer_size) {
        options.replay.messages = {};  // the script has them
    }

    error_ptr listen();
    void start();
    void accept();
    void take(tcp::socket socket);
    void run();
    void close(seconds_t timeout);
    template <typename Action>
    void for_each_session(Action action);

    loopback_options_t options;
    std::unique_ptr<const replay_script> script;
    record_book book;
    std::vector<char> read_buffer;
    tls_context tls;
    std::uint16_t port = 0;
    const process_id owner = current_process();
    std::atomic<bool> running{false};
    std::mutex closing;  // one Close() at a time

    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
    tcp::acceptor acceptor{io};
    asio::steady_timer retry{io};
    std::unordered_map<std::size_t, std::shared_ptr<session>> sessions;
    session_context shared{options, script.get(), book, read_buffer,
                           [this](std::size_t index) { sessions.erase(index); }};
    std::thread thread;
};

error_ptr loopback_server_c::impl::listen() {
    std::error_code error;
    const auto address =
        asio::ip::make_address(options.host == "localhost" ? "127.0.0.1" : options.host, error);
    if (error) return invalid("host: '" + options.host + "' is not an IP address");
    if (!options.cert_file.empty()) {
        error_ptr tls_error;
        tls = make_tls_context(options.cert_file, options.key_file, tls_error);
        if (tls == nullptr) return tls_error;
    }
    const tcp::endpoint endpoint(address, options.port);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (!error) port = acceptor.local_endpoint(error).port();
    if (error) {
        return std::make_unique<const error_c>(error_e::CONNECT,
                                               "cannot listen on " + options.host + " port " +
                                                   std::to_string(options.port) + ": " +
                                                   error.message(),
                                               0, error.value());
    }
    close_on_exec(acceptor.native_handle());
    return nullptr;
}

void loopback_server_c::impl::start() {
    accept();
    const all_signals_blocked guard;  // a signal is for the threads of the program
    thread = std::thread([this] { run(); });
    running = true;
}

void loopback_server_c::impl::run() {
    for (;;) {
        try {
            io.run();
            break;
        } catch (const std::exception&) {
            // Sessions answer for their own faults; what gets here is lack of memory in accept().
        }
    }
    // Sockets and the handlers that hold sessions end here, on the thread that they belong to.
    while (!sessions.empty()) sessions.begin()->second->finish("dropped by the server");
    io.restart();
    io.poll();
}

void loopback_server_c::impl::accept() {
    acceptor.async_accept([this](const std::error_code& error, tcp::socket socket) {
        if (!acceptor.is_open()) return;
        if (!error) {
            take(std::move(socket));
            accept();
            return;
        }
        // Out of descriptors, as a rule: they come back when connections end.
        retry.expires_after(accept_retry);
        retry.async_wait([this](const std::error_code& cancelled) {
            if (!cancelled && acceptor.is_open()) accept();
        });
    });
}

void loopback_server_c::impl::take(tcp::socket socket) {
    try {
        const auto made = std::make_shared<session>(shared, std::move(socket), tls.get());
        sessions.emplace(made->index(), made);
        made->start();
    } catch (const std::exception&) {
        // The socket is closed by now, and the listener must go on.
    }
}

template <typename Action>
void loopback_server_c::impl::for_each_session(Action action) {
    if (!running || owner != current_process()) return;
    asio::post(io, [this, action = std::move(action)] {
        std::vector<std::shared_ptr<session>> all;  // an action may end sessions
        all.reserve(sessions.size());
        for (const auto& entry : sessions) all.push_back(entry.second);
        for (const auto& each : all) action(*each);
    });
}

void loopback_server_c::impl::close(seconds_t timeout) {
    const std::lock_guard lock(closing);
    if (!thread.joinable()) return;
    asio::post(io, [this] {
        std::error_code ignored;
        acceptor.close(ignored);
        retry.cancel();
        book.stopped_accepting();
    });
    for_each_session([](session& each) { each.close(1001, "server closes"); });
    if (timeout > seconds_t(0)) book.wait_idle(true, timeout);
    running = false;
    io.stop();
    thread.join();
}

std::unique_ptr<loopback_server_c> loopback_server_c::Create(loopback_options_t options,
                                                             error_ptr& error) {
    error = check(options);
    if (error != nullptr) return nullptr;
    auto state = std::make_unique<impl>(std::move(options));
    error = state->listen();
    if (error != nullptr) return nullptr;
    state->start();
    return std::unique_ptr<loopback_server_c>(new loopback_server_c(std::move(state)));
}

loopback_server_c::loopback_server_c(std::unique_ptr<impl> state) : impl_(std::move(state)) {}

loopback_server_c::~loopback_server_c() {
    if (impl_->owner != current_process()) {
        // The thread stayed with the parent: there is nothing to join, and the loop's state is
        // whatever the fork caught. Leaking is the only safe end.
        static_cast<void>(impl_.release());
        return;
    }
    impl_->close(seconds_t(0));
}

std::uint16_t loopback_server_c::Port() const noexcept { return impl_->port; }

std::string loopback_server_c::Uri() const {
    const bool secure = impl_->tls != nullptr;
    std::string host = impl_->options.host;
    if (host.find(':') != std::string::npos) host = '[' + host + ']';
    if (secure && (host == "127.0.0.1" || host == "[::1]")) host = "localhost";
    return (secure ? "wss://" : "ws://") + host + ':' + std::to_string(impl_->port);
}

bool loopback_server_c::Running() const noexcept {
    return impl_->running && impl_->owner == current_process();
}

std::vector<connection_record_t> loopback_server_c::Connections() const {
    if (impl_->owner != current_process()) return {};  // its lock may be held for ever here
    return impl_->book.snapshot();
}

bool loopback_server_c::Wait_connections(std::size_t count, seconds_t timeout) const {
    return impl_->owner == current_process() && impl_->book.wait_opened(count, timeout);
}

bool loopback_server_c::Wait_idle(seconds_t timeout) const {
    return impl_->owner == current_process() && impl_->book.wait_idle(false, timeout);
}

bool loopback_server_c::Wait_messages(std::uint64_t sent, std::uint64_t received,
                                      seconds_t timeout) const {
    return impl_->owner == current_process() && impl_->book.wait_messages(sent, received, timeout);
}

void loopback_server_c::Send_ping(std::string payload) {
    impl_->for_each_session(
        [payload = std::move(payload)](session& each) { each.send_ping(payload); });
}

void loopback_server_c::Close_connections(std::uint16_t code, std::string reason) {
    impl_->for_each_session(
        [code, reason = std::move(reason)](session& each) { each.close(code, reason); });
}

void loopback_server_c::Abort_connections() {
    impl_->for_each_session([](session& each) { each.abort(); });
}

void loopback_server_c::Close(seconds_t timeout) {
    if (impl_->owner == current_process()) impl_->close(timeout);
}

}  // namespace wspool::testing
