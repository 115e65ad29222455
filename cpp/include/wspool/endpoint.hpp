#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wspool/error.hpp"
#include "wspool/export.hpp"
#include "wspool/listener.hpp"
#include "wspool/metadata.hpp"
#include "wspool/options.hpp"
#include "wspool/sink.hpp"

namespace wspool {

/// One native thread with its event loop, and any number of connections on it.
///
/// Thread safety: every method may be called from any thread, also from callbacks.
/// Its state belongs to its loop's thread; other threads post to it.
class WSPOOL_API endpoint_c {
public:
    class impl;

    endpoint_c();
    /// Aborts what is still open and joins the thread. Not from one of its own callbacks.
    ~endpoint_c();
    endpoint_c(const endpoint_c&) = delete;
    endpoint_c& operator=(const endpoint_c&) = delete;

    /// Starts a connection and returns at once. `future` becomes OPENED or FAILED, after the
    /// on_open or on_fail callback; `id` names the connection in the calls below.
    error_ptr Create_new_connection(const std::string& uri,
                                    std::future<metadata_c::status_e>& future, int& id,
                                    const metadata_c::on_callbacks_t& callbacks = {},
                                    const options_t& options = {});
    /// The same for a listener; `connection` is its handle.
    error_ptr Create_new_connection(const std::string& uri, std::shared_ptr<listener_c> listener,
                                    const options_t& options,
                                    std::shared_ptr<metadata_c>& connection);

    /// The same for a sink, such as a `message_queue_c`.
    error_ptr Create_new_connection(const std::string& uri, std::shared_ptr<sink_c> sink,
                                    const options_t& options,
                                    std::shared_ptr<metadata_c>& connection);

    error_ptr Send_msg(int id, std::string_view message, bool is_text = true);
    error_ptr Close(int id, std::uint16_t code = 1000, std::string_view reason = {});
    error_ptr Disable_callbacks(int id);
    /// Starts the closing handshake on every connection; returns at once.
    error_ptr Close_all_connections(std::uint16_t code = 1001, std::string_view reason = {});
    /// Waits until no connection is left. Error TIMEOUT if some are, INVALID_STATE on the
    /// endpoint's own thread, which would wait for itself.
    error_ptr Wait_for_closing_all(std::optional<std::chrono::nanoseconds> timeout = {});

    /// The connection of that id; null once it has ended and its last callback has returned.
    [[nodiscard]] std::shared_ptr<metadata_c> Get_metadata(int id) const;
    /// The counters of all connections together, those that have ended included.
    [[nodiscard]] statistics_t Get_statistics() const;
    /// All that have not ended, in the order of creation.
    [[nodiscard]] std::vector<std::shared_ptr<metadata_c>> Get_connections() const;
    /// True on the thread that runs a callback or the loop of this endpoint.
    [[nodiscard]] bool On_own_thread() const noexcept;
    /// Aborts every connection and stops the thread; waits up to `timeout` for a running
    /// callback. True if the thread has ended. Afterwards the endpoint refuses connections.
    bool Stop(std::chrono::nanoseconds timeout);

private:
    std::unique_ptr<impl> impl_;
};

}  // namespace wspool
