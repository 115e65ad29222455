#pragma once

#include <future>
#include <memory>

#include "endpoint_core.hpp"
#include "wspool/listener.hpp"
#include "wspool/metadata.hpp"

namespace wspool::detail {

/// Calls the callbacks of the C++ API, and fulfils the future.
class callbacks_listener final : public listener_c {
public:
    callbacks_listener(metadata_c::on_callbacks_t callbacks,
                       const std::shared_ptr<endpoint_core>& core);
    std::future<metadata_c::status_e> opened() { return opened_.get_future(); }

    void On_open(metadata_c& connection) override;
    void On_messages(metadata_c& connection, const message_view_t* messages,
                     std::size_t count) override;
    void On_close(metadata_c& connection, std::uint16_t code, std::string_view reason) override;
    void On_fail(metadata_c& connection, const error_c& error) override;
    void On_error(metadata_c& connection, std::exception_ptr exception) noexcept override;

private:
    metadata_c::on_callbacks_t callbacks_;
    std::weak_ptr<endpoint_core> core_;
    std::promise<metadata_c::status_e> opened_;
    bool is_told_ = false;
};

}  // namespace wspool::detail
