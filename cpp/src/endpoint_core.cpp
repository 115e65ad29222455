#include "endpoint_core.hpp"
#include "process.hpp"

#include <utility>

#include "protocol/handshake.hpp"
#include "protocol/uri.hpp"
#include "transport/connector.hpp"
#include "transport/tls_context.hpp"

namespace wspool::detail {

endpoint_core::endpoint_core() : process_(process_generation()) {}
endpoint_core::~endpoint_core() = default;

bool endpoint_core::in_owner_process() const { return process_ == process_generation(); }

error_ptr endpoint_core::create(const std::string& uri, consumer_t consumer,
                                const options_t& options, std::shared_ptr<session>& out) {
    if (!in_owner_process()) {
        return std::make_unique<error_c>(error_e::WRONG_PROCESS,
                                         "this endpoint belongs to the process before fork()");
    }
    protocol::uri_t parts;
    std::string why;
    if (!protocol::parse_uri(uri, parts, why)) {
        return std::make_unique<error_c>(error_e::INVALID_URI, why);
    }
    if (auto error = protocol::check_options(options)) return error;
    if (options.unix_path.size() > transport::connector::max_unix_path) {
        return std::make_unique<error_c>(error_e::INVALID_ARGUMENT,
                                         "unix_path: has more than " +
                                             std::to_string(transport::connector::max_unix_path) +
                                             " bytes");
    }
    auto tls = options.tls;
    if (parts.secure && !tls) {
        error_ptr error;
        tls =
            transport::default_tls_context(options.default_ca_file, options.default_ca_path, error);
        if (!tls) return error;
    }
    {
        const std::lock_guard lock(mutex_);
        if (stopped_) {
            return std::make_unique<error_c>(error_e::INVALID_STATE, "the endpoint is closed");
        }
        const int id = next_id_++;
        out = std::make_shared<session>(shared_from_this(), id, std::move(parts), options,
                                        std::move(tls), std::move(consumer));
        sessions_.emplace(id, out);
    }
    loop->post([started = out] { started->start(); });
    return nullptr;
}

std::shared_ptr<session> endpoint_core::find(int id) const {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<session>> endpoint_core::all() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<session>> sessions;
    sessions.reserve(sessions_.size());
    for (const auto& [id, one] : sessions_) sessions.push_back(one);
    return sessions;
}

void endpoint_core::remove(int id) {
    std::shared_ptr<session> last;  // destroyed without the lock
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    last = std::move(found->second);
    sessions_.erase(found);
    removed_.notify_all();
}

bool endpoint_core::wait_empty(std::optional<std::chrono::nanoseconds> timeout) {
    std::unique_lock lock(mutex_);
    const auto empty = [this] { return sessions_.empty(); };
    if (!in_owner_process()) return true;
    if (timeout) return removed_.wait_for(lock, *timeout, empty);
    removed_.wait(lock, empty);
    return true;
}

bool endpoint_core::stop(std::chrono::nanoseconds timeout) {
    if (!in_owner_process()) return true;
    const auto until = std::chrono::steady_clock::now() + timeout;
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    for (const auto& one : all()) one->Abort();
    if (!loop->on_own_thread()) wait_empty(timeout);
    return loop->stop(std::max<std::chrono::nanoseconds>(until - std::chrono::steady_clock::now(),
                                                         std::chrono::milliseconds(1)));
}

}  // namespace wspool::detail
