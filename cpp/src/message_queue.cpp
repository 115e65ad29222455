/// What the loop's thread puts in, and what anyone may ask. Taking is in message_queue_taking.cpp.

#include "wspool/message_queue.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "wspool/metadata.hpp"

namespace wspool {

namespace {

constexpr std::size_t smallest_block = 4096;
// A payload that comes in a string of its own is taken over, not copied, from here on.
constexpr std::size_t worth_taking_over = 4096;
// A read buffer is taken over, not copied from, if payloads fill at least this part of it: so what
// waits takes at most so many times the memory of its payloads.
constexpr std::size_t part_worth_taking_over = 4;
// Reading rests while this much waits for a consumer that is quick: enough to go on with, and so
// little that it stays in the processor's caches from the read to the consumer.
constexpr std::size_t ahead_bytes = 256 * 1024;
constexpr std::size_t ahead_messages = 2048;
constexpr std::size_t smallest_read = 16 * 1024;
constexpr std::size_t largest_read = 192 * 1024;
constexpr std::size_t smallest_header = 2;  // of a frame
// Of one message, so many fragments are kept apart. Empty ones cost the peer two bytes, so what
// comes above is joined to the last, or left out.
constexpr std::size_t most_fragments = 4096;
// The consumer says how much it has taken once in so many messages, or when it has taken this part
// of the bound.
constexpr std::size_t settle_at_most_every = 256;
constexpr std::size_t settle_part = 16;

}  // namespace

message_queue_c::message_queue_c(const queue_bound_t& bound, std::shared_ptr<ready_list_c> ready,
                                 std::uint64_t number, bool takes_events)
    : bound_(bound),
      hands_over_(bound.overflow == overflow_e::PAUSE),
      settle_every_(std::clamp<std::size_t>(bound.messages / settle_part, 1, settle_at_most_every)),
      settle_bytes_(std::min(bound.bytes / settle_part, ahead_bytes / 2)),
      ready_(std::move(ready)),
      number_(number),
      takes_events_(takes_events) {}

message_queue_c::~message_queue_c() = default;

bool message_queue_c::Wants_fragments() const noexcept { return hands_over_; }

std::size_t message_queue_c::Read_size() const noexcept {
    const std::lock_guard lock(mutex_);
    if (!hands_over_ || message_size_ == 0) return largest_read;
    const std::size_t room = bound_.messages - std::min(bound_.messages, messages_);
    if (room > largest_read / message_size_) return largest_read;
    return std::max(smallest_read, room * message_size_);
}

// --- the loop's thread

void message_queue_c::On_open(metadata_c& connection) noexcept {
    std::unique_lock lock(mutex_);
    connection_ = connection.weak_from_this();
    opened_ = true;
    notify(lock, OPENED);
}

void message_queue_c::On_rested() noexcept {
    const std::lock_guard lock(mutex_);
    resting_ = is_quick_ = false;
}

void message_queue_c::On_closing() noexcept {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    resting_ = false;
    paused_ = false;
}

void message_queue_c::On_event(const event_t& event) noexcept {
    if (!takes_events_) return;
    std::unique_lock lock(mutex_);
    events_.push_back(std::make_shared<const event_t>(event));
    message_view_t mark;
    mark.received_ns = event.time_ns;
    mark.generation = 0;
    append(mark, 0, nullptr);
    notify(lock, READABLE);
}

void message_queue_c::On_interrupted() noexcept {
    std::unique_lock lock(mutex_);
    // A feed that goes on after overflow_e::FAIL is heard again.
    deaf_ = deaf_ && closing_;
    if (!is_incomplete_) return;
    message_view_t mark;
    mark.generation = 0;
    mark.is_first = false;
    append(mark, 0, nullptr);
    notify(lock, READABLE);
}

void message_queue_c::On_room() noexcept {
    std::unique_lock lock(mutex_);
    notify(lock, WRITABLE);
}

void message_queue_c::On_end() noexcept {
    std::unique_lock lock(mutex_);
    ended_ = true;
    spare_.reset();
    notify(lock, OPENED | READABLE | WRITABLE | ENDED);
}

sink_c::verdict_e message_queue_c::On_messages(incoming_t& incoming) noexcept {
    std::unique_lock lock(mutex_);
    auto verdict = verdict_e::GO_ON;
    message_size_ = incoming.bytes / incoming.count + smallest_header;
    if (hands_over_ && !closing_ && !deaf_ && incoming.block) {
        if (incoming.bytes >= incoming.block->size / part_worth_taking_over)
            take_over(incoming);
        else
            put_all(incoming);
    } else {
        std::size_t left = incoming.bytes;  // so that one block holds what one read brought
        for (std::size_t i = 0; i < incoming.count; ++i) {
            verdict = std::max(verdict, put(incoming.messages[i], left, nullptr));
            left -= incoming.messages[i].payload.size();
        }
    }
    return put_done(lock, verdict);
}

sink_c::verdict_e message_queue_c::On_piece(const message_view_t& piece,
                                            std::string&& storage) noexcept {
    std::unique_lock lock(mutex_);
    return put_done(lock, put(piece, storage.size(), &storage));
}

sink_c::verdict_e message_queue_c::put_done(std::unique_lock<std::mutex>& lock, verdict_e verdict) {
    if (hands_over_ && !closing_ && full() && (messages_ > 0 || streaming_)) {
        paused_ = true;
        resting_ = false;
        verdict = std::max(verdict, verdict_e::PAUSE);
    } else if (hands_over_ && !closing_ && is_quick_ && !streaming_ && is_ahead(1)) {
        resting_ = true;
        verdict = std::max(verdict, verdict_e::REST);
    }
    if (shared_complete_ > 0 || takes_fragments_) notify(lock, READABLE);
    return verdict;
}

/// Makes a chunk of what one read brought, without a copy.
void message_queue_c::take_over(incoming_t& incoming) {
    shared_.emplace_back(std::make_shared<chunk>())->block = std::move(incoming.block);
    messages_ += incoming.count;
    shared_complete_ += incoming.count;
    bytes_ += incoming.bytes;
}

/// Copies what one read brought in one piece, with the frame headers that stand in between.
void message_queue_c::put_all(const incoming_t& incoming) {
    const char* const first = incoming.messages[0].payload.data();
    const std::string_view last = incoming.messages[incoming.count - 1].payload;
    const auto size = static_cast<std::size_t>(last.data() + last.size() - first);
    chunk& target = room_for(size, size);
    char* const place = target.block->bytes.get() + target.used;
    if (size != 0) std::memcpy(place, first, size);
    target.used += size;
    for (std::size_t i = 0; i < incoming.count; ++i) {
        message_view_t message = incoming.messages[i];
        message.payload = {place + (message.payload.data() - first), message.payload.size()};
        target.entries().push_back(message);
    }
    messages_ += incoming.count;
    shared_complete_ += incoming.count;
    bytes_ += incoming.bytes;
}

/// Puts one in, or not, as the bounds say.
sink_c::verdict_e message_queue_c::put(const message_view_t& message, std::size_t expected,
                                       std::string* storage) {
    const std::size_t size = message.payload.size();
    if (deaf_) {
        if (message.is_final) ++dropped_;
        return verdict_e::GO_ON;
    }
    const bool no_room =
        messages_ >= bound_.messages || (bytes_ > 0 && bytes_ + size > bound_.bytes);
    if (no_room && bound_.overflow == overflow_e::FAIL) {
        deaf_ = true;
        ++dropped_;
        return verdict_e::FAIL;
    }
    if (no_room && bound_.overflow == overflow_e::DROP_OLDEST) {
        while (messages_ > 0 && (messages_ >= bound_.messages || bytes_ + size > bound_.bytes) &&
               drop_oldest()) {
        }
    } else if (no_room && (closing_ || bound_.overflow == overflow_e::DROP_NEWEST)) {
        if (message.is_final) {
            ++dropped_;
            ++dropped_before_next_;
        }
        // Of a message in fragments not a part alone can be left out.
        deaf_ = hands_over_;
        return verdict_e::GO_ON;
    }
    append(message, expected, storage);
    return verdict_e::GO_ON;
}

void message_queue_c::append(message_view_t message, std::size_t expected, std::string* storage) {
    const std::size_t size = message.payload.size();
    bytes_ += size;
    is_incomplete_ = !message.is_final;
    const bool is_mark = message.generation == 0;
    if (!message.is_first && !is_mark && fragments_ >= most_fragments) {
        if (size == 0 && !message.is_final) return;  // there may be nothing to join it to
        if (join(message)) return;
    }
    const bool whole = message.is_first && message.is_final;
    const bool many = !whole && fragments_ >= most_fragments && size > 0;
    chunk* target = nullptr;
    if (many || (storage != nullptr && size >= worth_taking_over)) {
        target = shared_.emplace_back(std::make_shared<chunk>()).get();
        target->block = std::make_shared<message_block_t>();
        if (storage != nullptr)
            target->storage = std::move(*storage);
        else
            target->storage = message.payload;
        message.payload = target->storage;
    } else {
        target = &room_for(size, expected);
        char* const place = target->block->bytes.get() + target->used;
        if (size != 0) std::memcpy(place, message.payload.data(), size);
        message.payload = {place, size};
        target->used += size;
    }
    target->entries().push_back(message);
    if (!hands_over_) target->gaps.push_back(std::exchange(dropped_before_next_, 0));
    if (message.is_final) {
        ++messages_;
        ++shared_complete_;
    } else {
        ++fragments_;
    }
}

/// Joins a fragment to the one before it, if that has a storage of its own.
bool message_queue_c::join(const message_view_t& piece) {
    if (shared_.empty()) return false;
    chunk& last = *shared_.back();
    message_view_t& before = last.entries().back();
    if (last.storage.empty() || before.is_final) return false;
    last.storage.append(piece.payload);
    before.payload = last.storage;
    before.is_final = piece.is_final;
    if (piece.is_final) {
        --fragments_;
        ++messages_;
        ++shared_complete_;
    }
    return true;
}

/// The chunk at the end of shared_, with room for `size` bytes; a new one has room for `expected`.
message_queue_c::chunk& message_queue_c::room_for(std::size_t size, std::size_t expected) {
    if (!shared_.empty()) {
        chunk& last = *shared_.back();
        if (last.is_open && last.block->size - last.used >= size) return last;
    }
    const std::size_t wanted = std::max({size, std::min(expected, largest_spare), smallest_block});
    if (spare_ && spare_->block->size >= wanted) {
        shared_.push_back(std::move(spare_));
    } else {
        auto made = std::make_shared<chunk>();
        made->block = std::make_shared<message_block_t>();
        made->block->bytes.reset(new char[wanted]);
        made->block->size = wanted;
        made->is_open = true;
        shared_.push_back(std::move(made));
    }
    return *shared_.back();
}

/// Only without fragments: each entry is a message or an event. Events are left where they are:
/// that something is missing must not be missing itself.
bool message_queue_c::drop_oldest() {
    const auto is_message = [](const message_view_t& one) { return one.generation != 0; };
    while (!shared_.empty()) {
        // Of the chunks only the first may have nothing but events in front of a message.
        const std::size_t number = shared_.size() > 1 && has_only_events(*shared_.front()) ? 1 : 0;
        chunk& one = *shared_[number];
        auto& entries = one.entries();
        const auto begin = entries.begin() + static_cast<std::ptrdiff_t>(one.next);
        const auto found = std::find_if(begin, entries.end(), is_message);
        if (found == entries.end()) {
            if (number == 0) return false;
            gather_events();
            continue;
        }
        const auto place = static_cast<std::size_t>(found - entries.begin());
        const std::uint64_t dropped = one.gaps[place] + 1;
        bytes_ -= found->payload.size();
        --messages_;
        --shared_complete_;
        ++dropped_;
        // The events before it move into its place.
        std::move_backward(begin, found, found + 1);
        const auto gaps = one.gaps.begin();
        std::move_backward(gaps + static_cast<std::ptrdiff_t>(one.next),
                           gaps + static_cast<std::ptrdiff_t>(place),
                           gaps + static_cast<std::ptrdiff_t>(place) + 1);
        ++one.next;
        add_gap(number, place + 1, dropped);
        if (one.is_used_up()) shared_.erase(shared_.begin() + static_cast<std::ptrdiff_t>(number));
        return true;
    }
    return false;
}

bool message_queue_c::has_only_events(const chunk& one) {
    const auto is_event = [](const message_view_t& entry) { return entry.generation == 0; };
    return std::all_of(one.entries().begin() + static_cast<std::ptrdiff_t>(one.next),
                       one.entries().end(), is_event);
}

/// Puts the events of the second chunk, which has nothing else, behind those of the first: no block
/// of messages is kept for them.
void message_queue_c::gather_events() {
    chunk& first = *shared_[0];
    const chunk& second = *shared_[1];
    for (std::size_t i = second.next; i < second.entries().size(); ++i) {
        first.entries().push_back(second.entries()[i]);
        first.gaps.push_back(second.gaps[i]);
    }
    shared_.erase(shared_.begin() + 1);
}

/// Counts messages that were dropped before an entry, or before what comes behind its chunk.
void message_queue_c::add_gap(std::size_t chunk_number, std::size_t place, std::uint64_t dropped) {
    for (std::size_t i = chunk_number; i < shared_.size(); ++i) {
        chunk& one = *shared_[i];
        const std::size_t first = i == chunk_number ? place : one.next;
        if (first >= one.gaps.size()) continue;
        one.gaps[first] += dropped;
        return;
    }
    dropped_before_next_ += dropped;
}

/// Whether this part of what may be ahead of a quick consumer waits.
bool message_queue_c::is_ahead(std::size_t part) const {
    return messages_ > 0 && (bytes_ >= ahead_bytes / part || messages_ >= ahead_messages / part);
}

bool message_queue_c::full() const {
    return messages_ + (streaming_ ? fragments_ : 0) >= bound_.messages || bytes_ >= bound_.bytes;
}

// --- anyone

/// READABLE is only asked for after `Next` said false: what matters then is in shared_.
unsigned message_queue_c::happened() const {
    if (ended_) return OPENED | READABLE | WRITABLE | ENDED;
    const bool readable = shared_complete_ > 0 || (takes_fragments_ && !shared_.empty());
    return (opened_ ? OPENED : 0U) | (readable ? READABLE : 0U);
}

bool message_queue_c::Wait_for(unsigned events, std::chrono::nanoseconds timeout) {
    if ((events & READABLE) != 0) let_go();  // no large blocks are held in a wait
    std::unique_lock lock(mutex_);
    ++waiting_;
    const bool found = changed_.wait_for(lock, timeout, [&] { return (happened() & events) != 0; });
    --waiting_;
    return found;
}

bool message_queue_c::Arm(unsigned events) {
    if ((events & READABLE) != 0) let_go();
    const std::lock_guard lock(mutex_);
    if ((happened() & events) != 0) return true;
    armed_ |= events;
    return false;
}

/// Wakes who waits for one of `events`. Gives the lock back: others are told without it.
void message_queue_c::notify(std::unique_lock<std::mutex>& lock, unsigned events) {
    const bool post = (armed_ & events) != 0;
    armed_ &= ~events;
    const bool wake = waiting_ > 0;
    lock.unlock();
    if (wake) changed_.notify_all();
    if (post) ready_->Post(number_);
}

bool message_queue_c::Has_ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
}

message_queue_c::waiting_t message_queue_c::Waiting() const {
    const std::lock_guard lock(mutex_);
    // The consumer may put some back, or settle, meanwhile: then it is less than nothing.
    const auto left = [](std::size_t all, std::size_t taken) { return all - std::min(all, taken); };
    waiting_t waiting{left(messages_, unsettled_messages_.load()),
                      left(bytes_, unsettled_bytes_.load()), 0};
    if (waiting.messages == 0) return waiting;
    if (shared_complete_ < waiting.messages && oldest_ns_ != 0) {
        waiting.since_ns = oldest_ns_;
    } else if (!shared_.empty() && !shared_.front()->is_used_up()) {
        const chunk& front = *shared_.front();
        waiting.since_ns = front.entries()[front.next].received_ns;
    }
    return waiting;
}

std::uint64_t message_queue_c::Dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

}  // namespace wspool
