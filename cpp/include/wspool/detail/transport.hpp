#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <websocketpp/common/connection_hdl.hpp>
#include <websocketpp/common/system_error.hpp>
#include <websocketpp/logger/stub.hpp>
#include <websocketpp/transport/base/connection.hpp>
#include <websocketpp/transport/base/endpoint.hpp>
#include <websocketpp/uri.hpp>

#include "wspool/export.hpp"

namespace wspool::detail {

class session;

/// A timer as websocketpp sees it.
class WSPOOL_API transport_timer {
public:
    virtual ~transport_timer() = default;
    virtual void cancel() = 0;
};

/// websocketpp's transport policy, connection half: hands everything to wspool's session, which
/// owns socket, TLS and the buffers. Holds no state of its own but that link.
///
/// Thread safety: loop thread only, except `dispatch`.
class WSPOOL_API transport_connection : public std::enable_shared_from_this<transport_connection> {
public:
    using type = transport_connection;
    using ptr = std::shared_ptr<transport_connection>;
    using alog_type = websocketpp::log::stub;
    using elog_type = websocketpp::log::stub;
    using timer_ptr = std::shared_ptr<transport_timer>;

    transport_connection(bool is_server, const std::shared_ptr<alog_type>& alog,
                         const std::shared_ptr<elog_type>& elog);

    ptr get_shared() { return shared_from_this(); }
    [[nodiscard]] bool is_secure() const;
    [[nodiscard]] std::string get_remote_endpoint() const;
    [[nodiscard]] websocketpp::connection_hdl get_handle() const { return handle_; }
    timer_ptr set_timer(long milliseconds, websocketpp::transport::timer_handler handler);

    /// Ties the connection to its session; before anything else.
    void attach(const std::shared_ptr<session>& owner);
    /// Any thread; null once the session is gone.
    [[nodiscard]] std::shared_ptr<session> owner() const { return owner_.lock(); }

protected:
    friend class transport_endpoint;

    void init(websocketpp::transport::init_handler handler);
    void async_read_at_least(std::size_t at_least, char* buffer, std::size_t size,
                             websocketpp::transport::read_handler handler);
    void async_write(char const* bytes, std::size_t size,
                     websocketpp::transport::write_handler handler);
    void async_write(const std::vector<websocketpp::transport::buffer>& buffers,
                     websocketpp::transport::write_handler handler);
    void set_handle(websocketpp::connection_hdl handle) { handle_ = std::move(handle); }
    websocketpp::lib::error_code dispatch(websocketpp::transport::dispatch_handler handler);
    websocketpp::lib::error_code interrupt(websocketpp::transport::interrupt_handler handler);
    void async_shutdown(websocketpp::transport::shutdown_handler handler);

private:
    websocketpp::connection_hdl handle_;
    std::weak_ptr<session> owner_;  // constant after attach(); the session owns the connection
};

/// websocketpp's transport policy, endpoint half.
class WSPOOL_API transport_endpoint {
public:
    using transport_con_type = transport_connection;
    using transport_con_ptr = transport_connection::ptr;

    /// Plain or TLS is decided by each connection's URI.
    [[nodiscard]] bool is_secure() const { return true; }

protected:
    void init_logging(const std::shared_ptr<websocketpp::log::stub>& /*alog*/,
                      const std::shared_ptr<websocketpp::log::stub>& /*elog*/) {}
    websocketpp::lib::error_code init(const transport_con_ptr& /*connection*/) { return {}; }
    void async_connect(const transport_con_ptr& connection, const websocketpp::uri_ptr& uri,
                       websocketpp::transport::connect_handler handler);
};

}  // namespace wspool::detail
