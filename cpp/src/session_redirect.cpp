/// From an attempt to open that was redirected to the next; loop thread. Nothing of it shows but
/// in the request, the response and the addresses, which are those of the last attempt.

#include "endpoint_core.hpp"
#include "protocol/redirect.hpp"
#include "session.hpp"
#include "transport/tls_context.hpp"

namespace wspool::detail {

/// Notes where a refusal leads; the error if it must not be followed.
error_ptr session::note_redirect(const handshake_response& response) {
    protocol::uri_t target;
    if (options_.max_redirects == 0 || !protocol::find_redirect(response, uri_, target)) {
        return nullptr;
    }
    if (auto unsafe = protocol::check_redirect(uri_, target, options_, redirects_)) return unsafe;
    redirect_ = std::move(target);
    return nullptr;
}

/// websocketpp has given the redirected attempt up: forgets all of it, but neither the deadline nor
/// what the user asked for.
void session::leave_attempt() {
    // For good: a later redirect back to the origin was not the user's choice.
    if (!foreign_options_ && !protocol::same_origin(uri_, *redirect_)) {
        foreign_options_ =
            std::make_unique<const options_t>(protocol::without_credentials(options_));
    }
    uri_ = std::move(*redirect_);
    redirect_.reset();
    ++redirects_;
    stream_.close();
    stream_ = transport::stream(loop_->io());
    stream_ended_ = false;
    waiting_readable_ = false;
    waiting_writable_ = false;
    handshake_handler_ = nullptr;
    pending_writes_.clear();
    writing_.clear();
    {
        const std::lock_guard lock(out_mutex_);
        outbox_.clear();
        buffered_ = 0;
    }
    {
        const std::lock_guard lock(state_mutex_);
        error_.reset();
        request_ = {};
        response_ = {};
        local_address_ = {};
        remote_address_ = {};
    }
    // Without it end() knows that nothing of websocketpp's is to be ended, which is on the stack.
    loop_->post([self = self(), left = std::exchange(connection_, nullptr)] { self->restart(); });
}

void session::restart() {
    if (ending_) return;
    if (uri_.secure && !tls_) {
        error_ptr failed;
        tls_ = transport::default_tls_context(options_.default_ca_file, options_.default_ca_path,
                                              failed);
        if (!tls_) return end(*failed);
    }
    open();
}

}  // namespace wspool::detail
