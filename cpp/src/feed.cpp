/// What comes together from the links; loop thread.

#include "feed.hpp"

#include <algorithm>

#include "endpoint_core.hpp"
#include "log.hpp"
#include "protocol/uri.hpp"
#include "transport/background.hpp"

namespace wspool::detail {

namespace {

std::string without_credentials(const std::string& uri) {
    protocol::uri_t parts;
    std::string why;
    if (protocol::parse_uri(uri, parts, why)) return parts.without_credentials();
    // What is none may hold some all the same, and goes into logs.
    const std::size_t scheme = uri.find("://");
    const std::size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
    const std::size_t at = uri.rfind('@');
    if (at == std::string::npos || at < begin) return uri;
    return uri.substr(0, begin) + uri.substr(at + 1);
}

bool is_in_order(std::uint16_t code) { return code == 1000 || code == 1001 || code == 1005; }

}  // namespace

feed::feed(std::shared_ptr<endpoint_core> core, int id, std::string uri, options_t options,
           std::shared_ptr<const tls_context_c> tls, consumer_t consumer)
    : connection_base(std::move(core), id, without_credentials(uri), std::move(options),
                      std::move(consumer)),
      uri_(std::move(uri)),
      tls_(std::move(tls)) {
    if (!options_.dedup.empty()) arrivals_ = std::make_unique<first_arrivals>(options_.dedup);
}

feed::~feed() = default;

void feed::start() {
    if (phase_ != phase_e::RUNNING) return;
    for (unsigned i = 0; i < options_.redundancy; ++i) {
        links_.push_back(std::make_shared<feed_link>(self()));
    }
    for (const auto& link : std::vector(links_)) link->start();
}

bool feed::wants_fragments() const {
    // Whole messages are needed to look at, and to keep apart where there are two connections.
    return sink_ && sink_->Wants_fragments() && !arrivals_ && options_.match.empty() &&
           options_.replace_after.count() == 0;
}

std::size_t feed::read_size() const {
    return sink_ ? sink_->Read_size() : static_cast<std::size_t>(-1);
}

// --- attempts

/// What it throws is told where callbacks are called, as their own exceptions are; then `thrown`
/// is called.
template <typename Call, typename Thrown>
void feed::call_user_code(Call&& call, Thrown&& thrown) noexcept {
    try {
        call();
    } catch (...) {
        loop_->post([self = self(), exception = std::current_exception()] {
            self->loop_->turn().add([self, exception] { self->report(exception); });
        });
        thrown();
    }
}

void feed::prepare(unsigned attempt, std::function<void(error_ptr, attempt_t)> answer) {
    if (!prepares()) {
        return answer(nullptr,
                      {uri_, options_.additional_headers, options_.subscriptions, options_.proxy});
    }
    // The answer comes back to the loop; of several, the first counts.
    run_user_code([self = self(), attempt, answer = std::move(answer)] {
        const auto tell = [self, answer](error_ptr error, attempt_t made) {
            // std::function wants to be copied.
            const auto shared = std::make_shared<error_ptr>(std::move(error));
            self->loop_->post(
                [answer, shared, made = std::move(made)] { answer(std::move(*shared), made); });
        };
        self->call_user_code(
            [&] { self->options_.source->Prepare(attempt, tell); },
            [&] {
                tell(std::make_unique<error_c>(error_e::PREPARATION,
                                               "making an attempt to connect threw an exception"),
                     {});
            });
    });
}

void feed::judge(const error_c& error, bool was_open, bool by_default,
                 std::function<void(bool)> answer) {
    if (!judges()) return answer(by_default);
    run_user_code([self = self(), error, was_open, by_default, answer = std::move(answer)] {
        const auto tell = [self, answer](bool again) {
            self->loop_->post([answer, again] { answer(again); });
        };
        self->call_user_code(
            [&] { self->options_.source->Judge(*self, error, was_open, by_default, tell); },
            [&] { tell(by_default); });
    });
}

/// Neither on the loop's thread nor where callbacks are called: it may block.
void feed::run_user_code(std::function<void()> call) {
    transport::background::of_process(transport::background::purpose_e::USER_CODE)
        .submit([self = self(), call = std::move(call)](bool may_block) {
            if (may_block) return call();
            // There is no thread for it.
            self->loop_->post([self, call] { self->loop_->turn().add(call); });
        });
}

error_ptr feed::make_session(const attempt_t& attempt, std::chrono::milliseconds spent,
                             std::shared_ptr<feed_link> link, std::shared_ptr<session>& out) {
    options_t options = options_;
    if (options.open_timeout.count() > 0) {
        constexpr std::chrono::milliseconds least(1);
        options.open_timeout = std::max(least, options.open_timeout - spent);
    }
    options.additional_headers = attempt.additional_headers;
    options.proxy = attempt.proxy;
    return core_->make_session(attempt.uri, {nullptr, std::move(link)}, std::move(options), tls_,
                               out);
}

void feed::connecting(const std::shared_ptr<session>& one) {
    const std::lock_guard lock(state_mutex_);
    if (sessions_.empty()) latest_ = one;
}

void feed::failed(const session* attempt, const error_c& error) {
    const bool is_closing = phase_ != phase_e::RUNNING;
    const auto statistics = attempt != nullptr ? attempt->Get_statistics() : statistics_t();
    const std::lock_guard lock(state_mutex_);
    retired_.add(statistics);
    if (heir_.get() == attempt) heir_.reset();
    if (!is_closing) ++failures_;  // else it was given up
    // While another connection is there nothing is wrong, and what was open has been closed.
    if (sessions_.empty() && !(is_closing && has_been_open_)) {
        error_ = std::make_shared<const error_c>(error);
    }
}

void feed::ready(feed_link& link, unsigned attempts) {
    generation_.store(link.generation());
    {
        const std::lock_guard lock(state_mutex_);
        latest_ = link.connection();
        handle_ = latest_->handle();
        sessions_.push_back(latest_);
        if (heir_ == latest_) heir_.reset();
        error_.reset();
        if (link.is_again()) ++reconnects_;
    }
    has_been_open_ = true;
    if (successor_.get() == &link) successor_.reset();
    update_status();
    if (sink_ && !std::exchange(sink_opened_, true)) sink_->On_open(*this);
    const std::int64_t now = runtime::unix_now();
    event_t event;
    event.generation = link.generation();
    event.time_ns = now;
    event.attempt = attempts;
    if (loss_) {
        event.kind = event_t::kind_e::GAP;
        event.since_ns = loss_->since_ns;
        event.reason = loss_->reason;
        emit(event);
        loss_.reset();
        event.since_ns = 0;
        event.reason.clear();
    }
    event.kind = event_t::kind_e::OPENED;
    emit(event);
    if (sink_) return;
    loop_->turn().add([self = self()] { self->guarded([&] { self->listener_->On_open(*self); }); });
}

void feed::lost(feed_link& link, const session& ended) {
    const auto statistics = ended.Get_statistics();
    const auto error = ended.Get_error();
    bool none_left = false;
    {
        end_t end{ended.Received_close(), ended.Sent_close(), ended.Received_close_first()};
        // A peer that does not end TCP has closed in order all the same.
        const bool in_order =
            end.received && is_in_order(end.received->code) && end.sent &&
            is_in_order(end.sent->code) && error &&
            (error->Code() == error_e::TIMEOUT || error->Code() == error_e::END_OF_STREAM);
        const std::lock_guard lock(state_mutex_);
        last_end_ = std::move(end);
        retired_.add(statistics);
        sessions_.erase(std::remove_if(sessions_.begin(), sessions_.end(),
                                       [&](const auto& one) { return one.get() == &ended; }),
                        sessions_.end());
        none_left = sessions_.empty();
        if (none_left) {
            error_ = in_order ? nullptr : error;
        } else {
            latest_ = sessions_.back();
            handle_ = latest_->handle();
        }
    }
    // What comes to a sink that has no room while the others are being closed is part of the gap.
    const std::int64_t deaf_since_ns = deaf_since_ns_;
    if (none_left) deaf_since_ns_ = 0;
    if (sink_ && deaf_since_ns_ == 0) sink_->On_interrupted();
    for (const event_t& event : std::exchange(unheard_, {})) emit(event);
    update_status();
    emit_closed(link.generation(), ended, link.is_retired());
    // A gap begins when the last connection is lost, and not if a successor holds what follows.
    const auto received = ended.Received_close();
    const bool is_followed = received && !link.is_cut() && deaf_since_ns == 0 &&
                             is_followed_by_successor(ended, *received);
    if (phase_ == phase_e::RUNNING && !(none_left && is_followed)) {
        loss_t loss{statistics.last_received_ns,
                    received ? "close frame " + std::to_string(received->code) +
                                   (received->reason.empty() ? "" : " " + received->reason)
                    : error ? error->Error_msg()
                            : "the connection was lost"};
        if (deaf_since_ns != 0) loss.since_ns = std::min(loss.since_ns, deaf_since_ns);
        if (none_left)
            loss_ = std::move(loss);
        else if (deaf_since_ns == 0)
            tell_if_silent(loss);
    }
    if (is_being_replaced(link)) successor_->take_over();
}

/// Whether the successor has what the peer has not sent over the old connection any more. Only the
/// answer to our close frame says so: the peer got that when this successor was there already. A
/// close frame of the peer's own may have been sent before.
bool feed::is_followed_by_successor(const session& ended, const close_frame_t& received) const {
    return successor_ && successor_->is_holding() && retired_for_ == successor_->generation() &&
           !ended.Received_close_first() && (received.code == 1000 || received.code == 1005);
}

/// A connection is lost of which nothing has come since before the others were ready: it was open,
/// so that no gap was told when those before them were lost, but it did not stand in for them.
void feed::tell_if_silent(const loss_t& loss) {
    const feed_link* first = nullptr;
    for (const auto& link : links_) {
        if (!link->is_ready()) continue;
        if (first == nullptr || link->ready_ns() < first->ready_ns()) first = link.get();
    }
    if (first == nullptr || loss.since_ns >= first->ready_ns()) return;
    event_t event;
    event.kind = event_t::kind_e::GAP;
    event.generation = first->generation();
    event.time_ns = first->ready_ns();
    event.since_ns = loss.since_ns;
    event.attempt = first->ready_attempts();
    event.reason = loss.reason;
    emit(event);
}

void feed::ended(feed_link& link) {
    const auto keep = self();
    // The old one goes on then; and where it has none any more, it has ended before.
    if (successor_.get() == &link) successor_.reset();
    links_.erase(std::remove_if(links_.begin(), links_.end(),
                                [&](const auto& one) { return one.get() == &link; }),
                 links_.end());
    if (links_.empty()) end();
}

bool feed::replace(feed_link& link) {
    if (phase_ != phase_e::RUNNING || successor_ || !link.is_ready()) return false;
    successor_ = std::make_shared<feed_link>(self(), &link);
    replaced_ = link.shared_from_this();
    retired_for_ = 0;
    links_.push_back(successor_);
    const auto started = successor_;  // it may end at once
    started->start();
    return true;
}

void feed::succeeding() {
    const auto old = replaced_.lock();
    if (!old || !old->is_ready()) return successor_->take_over();
    {
        const std::lock_guard lock(state_mutex_);
        heir_ = successor_->connection();
    }
    // A connection that is being closed cannot push back any more, so a slow consumer comes first.
    if (old->connection()->is_paused()) {
        retire_when_resumed_ = true;
    } else {
        retire_replaced();
    }
}

void feed::retire_replaced() {
    const auto old = replaced_.lock();
    if (!old) return;
    // Where a successor was lost meanwhile, the next one came after the close frame.
    if (retired_for_ == 0 && successor_) retired_for_ = successor_->generation();
    old->retire();
}

void feed::log(log_c::level_e level, const std::string& text) {
    write_log(*loop_, options_.log, level, "reconnect",
              protocol::without_query(uri_text_) + ": " + text);
}

// --- what the links receive

void feed::emit(const event_t& event) {
    if (deaf_since_ns_ != 0) return unheard_.push_back(event);
    if (sink_) return sink_->On_event(event);
    loop_->turn().add([self = self(), event] {
        self->guarded([&] { self->listener_->On_event(*self, event); });
    });
}

void feed::emit_closed(std::uint32_t generation, const session& ended, bool is_replaced) {
    event_t event;
    event.kind = event_t::kind_e::CLOSED;
    event.generation = generation;
    event.time_ns = runtime::unix_now();
    const auto received = ended.Received_close();
    event.code = received ? received->code : std::uint16_t{1006};
    const auto error = ended.Get_error();
    event.reason = is_replaced ? "replaced by its successor"
                   : received  ? received->reason
                   : error     ? error->Error_msg()
                               : std::string();
    emit(event);
}

sink_c::verdict_e feed::hand_on(incoming_t& incoming) {
    if (arrivals_) {
        firsts_.clear();
        incoming_t first;
        for (std::size_t i = 0; i < incoming.count; ++i) {
            if (!arrivals_->is_first(incoming.messages[i])) {
                duplicates_.fetch_add(1, std::memory_order_relaxed);
                continue;
            }
            firsts_.push_back(incoming.messages[i]);
            first.bytes += incoming.messages[i].payload.size();
        }
        if (firsts_.empty()) return sink_c::verdict_e::GO_ON;
        first.messages = firsts_.data();
        first.count = firsts_.size();
        if (sink_) return noted(sink_->On_messages(first), firsts_.front().received_ns);
        return hand_to_listener(first.messages, first.count, incoming.block != nullptr);
    }
    if (sink_) {
        const std::int64_t received_ns = incoming.messages[0].received_ns;
        return noted(sink_->On_messages(incoming), received_ns);
    }
    return hand_to_listener(incoming.messages, incoming.count, incoming.block != nullptr);
}

sink_c::verdict_e feed::hand_on_piece(const message_view_t& piece, std::string&& storage) {
    if (arrivals_ && !arrivals_->is_first(piece)) {
        duplicates_.fetch_add(1, std::memory_order_relaxed);
        return sink_c::verdict_e::GO_ON;
    }
    if (sink_) return noted(sink_->On_piece(piece, std::move(storage)), piece.received_ns);
    auto& turn = loop_->turn();
    message_view_t kept = piece;
    kept.payload = turn.keep(std::move(storage));
    return hand_to_listener(&kept, 1, true);
}

/// Messages go to user code between two turns, as those of a single connection do. `in_block`:
/// their payloads stay until the end of the turn.
sink_c::verdict_e feed::hand_to_listener(const message_view_t* messages, std::size_t count,
                                         bool in_block) {
    if (phase_ == phase_e::CLOSING && is_backlog_full()) return sink_c::verdict_e::GO_ON;
    auto& turn = loop_->turn();
    auto& all = turn.messages();
    const std::size_t before = all.size();
    for (std::size_t i = 0; i < count; ++i) {
        message_view_t message = messages[i];
        if (!in_block) message.payload = turn.keep(std::string(message.payload));
        all.push_back(message);
    }
    turn.append_done(self(), before);
    return is_backlog_full() ? sink_c::verdict_e::PAUSE : sink_c::verdict_e::GO_ON;
}

/// The sink speaks of the connection at hand, and means the next one as well, and the others.
sink_c::verdict_e feed::noted(sink_c::verdict_e verdict, std::int64_t received_ns) {
    is_full_ = is_full_ || verdict == sink_c::verdict_e::PAUSE;
    if (verdict == sink_c::verdict_e::FAIL) fail_for_full_queue(received_ns);
    return verdict;
}

/// What any connection brings from here on is missing, so all of them end.
void feed::fail_for_full_queue(std::int64_t since_ns) {
    if (deaf_since_ns_ != 0 || phase_ != phase_e::RUNNING) return;
    deaf_since_ns_ = since_ns;
    // Not at once: one of them is in the middle of handing out what it has read.
    loop_->post([self = self()] {
        if (self->phase_ != phase_e::RUNNING) return;
        for (const auto& link : std::vector(self->links_)) link->fail_for_full_queue();
    });
}

void feed::rested() {
    if (sink_) sink_->On_rested();
}

void feed::room() {
    if (sink_) sink_->On_room();
}

void feed::closing() {
    if (sink_ && phase_ == phase_e::CLOSING) sink_->On_closing();
}

// --- delivering

void feed::set_aside(std::size_t messages, std::size_t bytes) {
    add_to_backlog(messages, bytes, runtime::unix_now());
    if (!is_backlog_full()) return;
    for (const auto& link : links_) link->pause_reading();
}

/// A session's own changes while it is being opened, on the loop's thread.
websocketpp::connection_hdl feed::handle() const {
    const std::lock_guard lock(state_mutex_);
    return handle_;
}

// --- the end

void feed::update_status() {
    if (phase_ != phase_e::RUNNING) return;
    const bool is_open = std::any_of(links_.begin(), links_.end(),
                                     [](const auto& link) { return link->is_ready(); });
    // A close() that is on its way to the loop has said CLOSING.
    status_e expected = is_open ? status_e::CONNECTING : status_e::OPENED;
    status_.compare_exchange_strong(expected, is_open ? status_e::OPENED : status_e::CONNECTING);
}

void feed::end() {
    if (phase_ == phase_e::ENDED) return;
    phase_ = phase_e::ENDED;
    status_.store(has_been_open_ ? status_e::CLOSED : status_e::FAILED);
    if (sink_) return conclude();
    loop_->turn().add([self = self()] {
        self->guarded([&] {
            if (self->status_.load() == status_e::FAILED) {
                auto error = self->Get_error();
                if (!error) {
                    error = std::make_shared<const error_c>(error_e::ABORTED,
                                                            "the connection was aborted");
                }
                return self->listener_->On_fail(*self, *error);
            }
            const auto received = self->Received_close();
            self->listener_->On_close(*self, received ? received->code : std::uint16_t{1006},
                                      received ? received->reason : std::string());
        });
        self->conclude();
    });
}

}  // namespace wspool::detail
