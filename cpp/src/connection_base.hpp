#pragma once

#include <exception>

#include "wspool/metadata.hpp"

namespace wspool::detail {

/// What is behind every handle: one connection, or a feed of several.
class connection_base : public metadata_c {
public:
    /// websocketpp's handle, for the callbacks of the C++ API. Delivering thread.
    [[nodiscard]] virtual websocketpp::connection_hdl handle() const = 0;
    /// Counts an exception of user code and hands it to the listener. Delivering thread.
    virtual void report(std::exception_ptr exception) noexcept = 0;
};

}  // namespace wspool::detail
