#pragma once

#include <memory>

#include "wspool/tls.hpp"

namespace wspool::python {

/// What Python holds of a TLS context. Immutable; any thread.
struct tls_context {
    std::shared_ptr<const tls_context_c> native;
};

}  // namespace wspool::python
