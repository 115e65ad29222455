#include "callbacks_listener.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace wspool::detail {

callbacks_listener::callbacks_listener(metadata_c::on_callbacks_t callbacks,
                                       const std::shared_ptr<endpoint_core>& core)
    : callbacks_(std::move(callbacks)), core_(core) {}

void callbacks_listener::On_open(metadata_c& connection) {
    const auto core = core_.lock();
    // The future is fulfilled even if the callback throws; a feed opens more than once.
    struct fulfil {
        std::promise<metadata_c::status_e>& promise;
        bool& is_told;
        ~fulfil() {
            if (!std::exchange(is_told, true)) promise.set_value(metadata_c::status_e::OPENED);
        }
    } const at_end{opened_, is_told_};
    if (core && callbacks_.on_open && !connection.Callbacks_disabled()) {
        callbacks_.on_open(core->client, static_cast<connection_base&>(connection).handle());
    }
}

void callbacks_listener::On_messages(metadata_c& connection, const message_view_t* messages,
                                     std::size_t count) {
    const auto core = core_.lock();
    if (!core || !callbacks_.on_msg) return;
    using message = metadata_c::client::connection_type::message_type;
    const auto handle = static_cast<connection_base&>(connection).handle();
    for (std::size_t i = 0; i < count && !connection.Callbacks_disabled(); ++i) {
        const auto opcode = messages[i].is_text ? websocketpp::frame::opcode::text
                                                : websocketpp::frame::opcode::binary;
        const auto copy = std::make_shared<message>(nullptr, opcode, messages[i].payload.size());
        copy->set_payload(messages[i].payload.data(), messages[i].payload.size());
        try {
            callbacks_.on_msg(core->client, handle, copy, core->parser);
        } catch (...) {
            static_cast<connection_base&>(connection).report(std::current_exception());
        }
    }
}

void callbacks_listener::On_close(metadata_c& connection, std::uint16_t code,
                                  std::string_view reason) {
    if (callbacks_.on_close && !connection.Callbacks_disabled()) callbacks_.on_close(code, reason);
}

void callbacks_listener::On_fail(metadata_c& connection, const error_c& error) {
    struct fulfil {
        std::promise<metadata_c::status_e>& promise;
        ~fulfil() { promise.set_value(metadata_c::status_e::FAILED); }
    } const at_end{opened_};
    if (callbacks_.on_fail && !connection.Callbacks_disabled()) {
        callbacks_.on_fail(static_cast<std::uint16_t>(error.Http_status()), error.Error_msg());
    }
}

void callbacks_listener::On_error(metadata_c& /*connection*/,
                                  std::exception_ptr exception) noexcept {
    if (!callbacks_.on_error) return;
    try {
        callbacks_.on_error(std::move(exception));
    } catch (...) {  // nobody is left to tell; the session has counted the first one
        return;
    }
}

}  // namespace wspool::detail
