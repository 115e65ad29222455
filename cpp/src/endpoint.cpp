#include "wspool/endpoint.hpp"

#include "callbacks_listener.hpp"
#include "endpoint_core.hpp"

namespace wspool {

class endpoint_c::impl {
public:
    std::shared_ptr<detail::endpoint_core> core = std::make_shared<detail::endpoint_core>();
};

endpoint_c::endpoint_c() : impl_(std::make_unique<impl>()) { impl_->core->loop->start(); }

endpoint_c::~endpoint_c() {
    if (impl_->core->in_owner_process()) {
        Stop(std::chrono::seconds(2));
    } else {
        // After fork() the threads are gone, but the descriptors are the parent's as well:
        // closing them here would reach into its epoll set. So they are left alone.
        static_cast<void>(impl_.release());
    }
}

error_ptr endpoint_c::Create_new_connection(const std::string& uri,
                                            std::shared_ptr<listener_c> listener,
                                            const options_t& options,
                                            std::shared_ptr<metadata_c>& connection) {
    return impl_->core->create(uri, {std::move(listener), nullptr}, options, connection);
}

error_ptr endpoint_c::Create_new_connection(const std::string& uri, std::shared_ptr<sink_c> sink,
                                            const options_t& options,
                                            std::shared_ptr<metadata_c>& connection) {
    return impl_->core->create(uri, {nullptr, std::move(sink)}, options, connection);
}

error_ptr endpoint_c::Create_new_connection(const std::string& uri,
                                            std::future<metadata_c::status_e>& future, int& id,
                                            const metadata_c::on_callbacks_t& callbacks,
                                            const options_t& options) {
    auto listener = std::make_shared<detail::callbacks_listener>(callbacks, impl_->core);
    future = listener->opened();
    std::shared_ptr<metadata_c> connection;
    auto error = Create_new_connection(uri, std::move(listener), options, connection);
    if (!error) id = connection->Get_id();
    return error;
}

namespace {

error_ptr unknown(int id) {
    return std::make_unique<error_c>(
        error_e::UNKNOWN_CONNECTION,
        "no connection " + std::to_string(id) + " on this endpoint: never created, or ended");
}

}  // namespace

error_ptr endpoint_c::Send_msg(int id, std::string_view message, bool is_text) {
    const auto connection = impl_->core->find(id);
    return connection ? connection->Send(message, is_text, {}) : unknown(id);
}

error_ptr endpoint_c::Close(int id, std::uint16_t code, std::string_view reason) {
    const auto connection = impl_->core->find(id);
    return connection ? connection->Close(code, reason) : unknown(id);
}

error_ptr endpoint_c::Disable_callbacks(int id) {
    const auto connection = impl_->core->find(id);
    if (!connection) return unknown(id);
    connection->Disable_callbacks();
    return nullptr;
}

error_ptr endpoint_c::Close_all_connections(std::uint16_t code, std::string_view reason) {
    for (const auto& connection : impl_->core->all()) {
        if (auto error = connection->Close(code, reason)) return error;
    }
    return nullptr;
}

error_ptr endpoint_c::Wait_for_closing_all(std::optional<std::chrono::nanoseconds> timeout) {
    if (On_own_thread()) {
        return std::make_unique<error_c>(error_e::INVALID_STATE,
                                         "an endpoint cannot wait for itself in a callback");
    }
    if (impl_->core->wait_empty(timeout)) return nullptr;
    return std::make_unique<error_c>(error_e::TIMEOUT, "connections are still open");
}

std::shared_ptr<metadata_c> endpoint_c::Get_metadata(int id) const { return impl_->core->find(id); }

statistics_t endpoint_c::Get_statistics() const { return impl_->core->statistics(); }

std::vector<std::shared_ptr<metadata_c>> endpoint_c::Get_connections() const {
    return impl_->core->all();
}

bool endpoint_c::On_own_thread() const noexcept { return impl_->core->loop->on_own_thread(); }

bool endpoint_c::Stop(std::chrono::nanoseconds timeout) { return impl_->core->stop(timeout); }

}  // namespace wspool
