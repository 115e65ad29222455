#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <simdjson.h>

#include "runtime/loop.hpp"
#include "session.hpp"
#include "wspool/error.hpp"
#include "wspool/metadata.hpp"
#include "wspool/options.hpp"

namespace wspool::detail {

/// What the connections of one endpoint share. Lives as long as the endpoint or any connection.
///
/// `parser` belongs to the delivering thread, `client` to the loop's; the rest is guarded.
class endpoint_core : public std::enable_shared_from_this<endpoint_core> {
public:
    endpoint_core();
    ~endpoint_core();

    /// A connection, or a feed where the options ask for one.
    error_ptr create(const std::string& uri, consumer_t consumer, const options_t& options,
                     std::shared_ptr<metadata_c>& out);
    /// One connection of a feed: it is not counted, found or waited for. Loop thread.
    error_ptr make_session(const std::string& uri, consumer_t consumer, options_t options,
                           std::shared_ptr<const tls_context_c> default_tls,
                           std::shared_ptr<session>& out);
    [[nodiscard]] std::shared_ptr<metadata_c> find(int id) const;
    [[nodiscard]] std::vector<std::shared_ptr<metadata_c>> all() const;
    /// Of all connections, those that have ended included.
    [[nodiscard]] statistics_t statistics() const;
    /// Called by a connection after its last callback.
    void remove(int id);
    /// True if none is left.
    bool wait_empty(std::optional<std::chrono::nanoseconds> timeout);
    /// Aborts all connections and stops the loop. True if its threads have ended.
    bool stop(std::chrono::nanoseconds timeout);
    [[nodiscard]] bool in_owner_process() const;

    const std::shared_ptr<runtime::loop> loop = std::make_shared<runtime::loop>();
    metadata_c::client client;
    simdjson::ondemand::parser parser;

private:
    const unsigned process_;
    mutable std::mutex mutex_;
    std::condition_variable removed_;
    std::map<int, std::shared_ptr<metadata_c>> connections_;  // guarded by mutex_
    statistics_t ended_;                                      // guarded by mutex_
    int next_id_ = 0;                                         // guarded by mutex_
    bool stopped_ = false;                                    // guarded by mutex_
};

}  // namespace wspool::detail
