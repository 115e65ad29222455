#include "endpoint_core.hpp"

#include <utility>

#include "feed.hpp"
#include "process.hpp"

#include "protocol/handshake.hpp"
#include "protocol/uri.hpp"
#include "transport/connector.hpp"
#include "transport/tls_context.hpp"
#include "wspool/json_pointer.hpp"

namespace wspool::detail {

endpoint_core::endpoint_core() : process_(process_generation()) {}
endpoint_core::~endpoint_core() = default;

bool endpoint_core::in_owner_process() const { return process_ == process_generation(); }

namespace {

/// Checks what the URI and the options say together, and finds the TLS settings.
error_ptr check(const std::string& uri, const options_t& options, protocol::uri_t& parts,
                std::shared_ptr<const tls_context_c>& tls) {
    const auto invalid = [](std::string text) {
        return std::make_unique<error_c>(error_e::INVALID_ARGUMENT, std::move(text));
    };
    std::string why;
    if (!protocol::parse_uri(uri, parts, why)) {
        return std::make_unique<error_c>(error_e::INVALID_URI, why);
    }
    if (auto error = protocol::check_options(options)) return error;
    if (options.unix_path.size() > transport::connector::max_unix_path) {
        return invalid("unix_path: has more than " +
                       std::to_string(transport::connector::max_unix_path) + " bytes");
    }
    if (options.proxy.kind != proxy_t::kind_e::NONE && !options.unix_path.empty()) {
        return invalid("proxy is incompatible with unix_path");
    }
    tls = options.tls;
    if (parts.secure && !tls) {
        error_ptr error;
        tls =
            transport::default_tls_context(options.default_ca_file, options.default_ca_path, error);
        if (!tls) return error;
    }
    return nullptr;
}

bool is_feed(const options_t& options) {
    return options.reconnect.enabled || options.source || !options.subscriptions.empty() ||
           !options.match.empty() || options.replace_after.count() > 0 || options.redundancy > 1 ||
           !options.dedup.empty() || options.tells_events;
}

error_ptr check_feed(const options_t& options) {
    const auto invalid = [](std::string text) {
        return std::make_unique<error_c>(error_e::INVALID_ARGUMENT, std::move(text));
    };
    if (options.redundancy < 1 || options.redundancy > 16) {
        return invalid("redundancy must be between 1 and 16");
    }
    if (options.redundancy > 1 && options.dedup.empty()) {
        return invalid("redundancy needs dedup, which tells a message from its copy");
    }
    for (const std::string& pointer : options.dedup) {
        if (!json_pointer_c::Parse(pointer)) {
            return invalid("dedup: not a JSON Pointer (RFC 6901): '" + pointer + "'");
        }
    }
    // Written so that what is no number is refused as well.
    if (!(options.reconnect.factor >= 1)) return invalid("reconnect.factor must be at least 1");
    return acknowledgements::check(options.match);
}

}  // namespace

error_ptr endpoint_core::create(const std::string& uri, consumer_t consumer,
                                const options_t& options, std::shared_ptr<metadata_c>& out) {
    if (!in_owner_process()) {
        return std::make_unique<error_c>(error_e::WRONG_PROCESS,
                                         "this endpoint belongs to the process before fork()");
    }
    protocol::uri_t parts;
    std::shared_ptr<const tls_context_c> tls;
    const bool feeds = is_feed(options);
    const bool prepares = options.source && options.source->Prepares();
    if (!prepares) {
        if (auto error = check(uri, options, parts, tls)) return error;
    } else if (uri.find("://") != std::string::npos) {
        // The rest is made for each attempt, and checked then; so may the URI be: then this is a
        // name for it.
        std::string why;
        if (!protocol::parse_uri(uri, parts, why)) {
            return std::make_unique<error_c>(error_e::INVALID_URI, why);
        }
    }
    if (feeds) {
        if (auto error = check_feed(options)) return error;
    }
    std::shared_ptr<feed> made_feed;
    std::shared_ptr<session> made;
    {
        const std::lock_guard lock(mutex_);
        if (stopped_) {
            return std::make_unique<error_c>(error_e::INVALID_STATE, "the endpoint is closed");
        }
        const int id = next_id_++;
        if (feeds) {
            made_feed = std::make_shared<feed>(shared_from_this(), id, uri, options, std::move(tls),
                                               std::move(consumer));
            out = made_feed;
        } else {
            made = std::make_shared<session>(shared_from_this(), id, std::move(parts), options,
                                             std::move(tls), std::move(consumer));
            out = made;
        }
        connections_.emplace(id, out);
    }
    if (made_feed)
        loop->post([started = std::move(made_feed)] { started->start(); });
    else
        loop->post([started = std::move(made)] { started->start(); });
    return nullptr;
}

error_ptr endpoint_core::make_session(const std::string& uri, consumer_t consumer,
                                      options_t options,
                                      std::shared_ptr<const tls_context_c> default_tls,
                                      std::shared_ptr<session>& out) {
    constexpr int no_id = -1;
    if (!options.tls) options.tls = std::move(default_tls);
    protocol::uri_t parts;
    std::shared_ptr<const tls_context_c> tls;
    if (auto error = check(uri, options, parts, tls)) return error;
    out = std::make_shared<session>(shared_from_this(), no_id, std::move(parts), std::move(options),
                                    std::move(tls), std::move(consumer));
    return nullptr;
}

std::shared_ptr<metadata_c> endpoint_core::find(int id) const {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(id);
    return found == connections_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<metadata_c>> endpoint_core::all() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<metadata_c>> connections;
    connections.reserve(connections_.size());
    for (const auto& [id, one] : connections_) connections.push_back(one);
    return connections;
}

statistics_t endpoint_core::statistics() const {
    statistics_t sum;
    std::vector<std::shared_ptr<metadata_c>> alive;
    {
        const std::lock_guard lock(mutex_);
        sum = ended_;
        for (const auto& [id, one] : connections_) alive.push_back(one);
    }
    for (const auto& one : alive) sum.add(one->Get_statistics());
    return sum;
}

void endpoint_core::remove(int id) {
    // Nothing of it is asked for, or destroyed, under the lock.
    const std::shared_ptr<metadata_c> last = find(id);
    if (!last) return;
    statistics_t final = last->Get_statistics();
    final.waiting_messages = final.waiting_bytes = 0;
    final.waiting_since_ns = 0;
    const std::lock_guard lock(mutex_);
    if (connections_.erase(id) == 0) return;
    ended_.add(final);
    removed_.notify_all();
}

bool endpoint_core::wait_empty(std::optional<std::chrono::nanoseconds> timeout) {
    std::unique_lock lock(mutex_);
    const auto empty = [this] { return connections_.empty(); };
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
