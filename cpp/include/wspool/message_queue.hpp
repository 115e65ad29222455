#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "wspool/export.hpp"
#include "wspool/options.hpp"
#include "wspool/ready_list.hpp"
#include "wspool/sink.hpp"

namespace wspool {

/// The queue between one connection and whoever pulls its messages. Bounded in messages and in
/// bytes; at the bound `queue_bound_t::overflow` decides. What one read brings is put in at once,
/// so with overflow_e::PAUSE the bound may be passed by what one read brings.
///
/// Thread safety: the sink's calls are the loop thread's. Those of the consumer are for one thread
/// at a time, any; the others for any thread at any time.
class WSPOOL_API message_queue_c final : public sink_c {
public:
    /// What a consumer may wait for; bits.
    enum event_e : unsigned {
        OPENED = 1,    ///< open, or ended
        READABLE = 2,  ///< a message is there, or the end
        WRITABLE = 4,  ///< room in the write buffer after `Send` found none, or the end
        ENDED = 8,
    };

    /// Says what `Next` has found. The payload is valid until the next call of the consumer.
    /// With `generation` 0 it is no message: `event` says what happened; or, while streaming, if
    /// that is null, the message before was cut off by the end of its connection.
    struct item_t : message_view_t {
        std::uint64_t dropped = 0;  ///< messages dropped right before this one
        std::shared_ptr<const event_t> event;
    };
    /// Messages that stand one behind the other, for `Next_run`.
    struct run_t {
        const message_view_t* messages = nullptr;
        std::size_t count = 0;
    };

    /// With `ready`, events that were armed are posted there as `number`. `takes_events`: what
    /// happens to a feed is queued with the messages, and counts as one of them.
    explicit message_queue_c(const queue_bound_t& bound,
                             std::shared_ptr<ready_list_c> ready = nullptr,
                             std::uint64_t number = 0, bool takes_events = false);
    ~message_queue_c() override;

    // The consumer.

    /// Takes the next message, or while streaming the next fragment; false if none is there now.
    bool Next(item_t& out);
    /// Takes whole messages that stand one behind the other, at most `most`: the cheap way to take
    /// many. They are valid until the next call of the consumer. None only means that `Next` has
    /// to be asked, for nothing is there or what is there is not that simple.
    run_t Next_run(std::size_t most);
    /// Puts the last `count` messages of the run that was taken last back, to be taken again.
    void Put_back(std::size_t count);
    /// Complete messages that `Next` would hand out now.
    [[nodiscard]] std::size_t Available();
    /// From now on `Next` hands out fragments as they come, and not only whole messages. Switched
    /// off in the middle of a message, what is left of that message is skipped.
    void Set_streaming(bool on);

    // Anyone.

    /// Waits for one of `events`; false after `timeout`. For READABLE the consumer only, after
    /// `Next` said false.
    bool Wait_for(unsigned events, std::chrono::nanoseconds timeout);
    /// Asks for one post of the first of `events` to come. True if one of them holds already
    /// (WRITABLE never does before the end): then nothing is posted. READABLE as for `Wait_for`;
    /// both are calls of the consumer then.
    bool Arm(unsigned events);
    /// No more messages will come; those that are there can still be taken.
    [[nodiscard]] bool Has_ended() const;
    /// What waits for the consumer, as far as it has said what it has taken.
    struct waiting_t {
        std::size_t messages = 0;
        std::size_t bytes = 0;
        std::int64_t since_ns = 0;  ///< Unix time of the oldest; 0: nothing waits
    };
    [[nodiscard]] waiting_t Waiting() const;
    /// Messages dropped for want of room since the beginning.
    [[nodiscard]] std::uint64_t Dropped() const;

    // sink_c
    [[nodiscard]] bool Wants_fragments() const noexcept override;
    [[nodiscard]] std::size_t Read_size() const noexcept override;
    void On_open(metadata_c& connection) noexcept override;
    verdict_e On_messages(incoming_t& incoming) noexcept override;
    verdict_e On_piece(const message_view_t& piece, std::string&& storage) noexcept override;
    void On_rested() noexcept override;
    void On_closing() noexcept override;
    [[nodiscard]] std::uint64_t Dropped_messages() const noexcept override { return Dropped(); }
    void On_event(const event_t& event) noexcept override;
    void On_interrupted() noexcept override;
    void On_room() noexcept override;
    void On_end() noexcept override;

private:
    /// A block up to here is kept for the next messages, once it is empty.
    static constexpr std::size_t largest_spare = 64 * 1024;

    struct chunk {
        std::shared_ptr<message_block_t> block;  // its messages are what waits
        bool is_open = false;                    // more may be put into the block
        std::size_t used = 0;                    // bytes of it
        std::string storage;                     // of one large payload, instead of the bytes
        std::vector<std::uint64_t> gaps;         // dropped before each, where that may be
        std::size_t next = 0;                    // of the messages

        [[nodiscard]] std::vector<message_view_t>& entries() const { return block->messages; }
        [[nodiscard]] bool is_used_up() const { return next == block->messages.size(); }
    };
    using chunk_ptr = std::shared_ptr<chunk>;
    /// Counted by the consumer alone; anyone may read it.
    class counter {
    public:
        void add(std::size_t count) { store(load() + count); }
        std::size_t take() {
            const std::size_t all = load();
            store(0);
            return all;
        }
        [[nodiscard]] std::size_t load() const { return value_.load(std::memory_order_relaxed); }

    private:
        void store(std::size_t value) { value_.store(value, std::memory_order_relaxed); }
        std::atomic<std::size_t> value_{0};
    };

    verdict_e put(const message_view_t& message, std::size_t expected, std::string* storage);
    void put_all(const incoming_t& incoming);
    void take_over(incoming_t& incoming);
    verdict_e put_done(std::unique_lock<std::mutex>& lock, verdict_e verdict);
    void append(message_view_t message, std::size_t expected, std::string* storage);
    bool join(const message_view_t& piece);
    chunk& room_for(std::size_t size, std::size_t expected);
    bool drop_oldest();
    static bool has_only_events(const chunk& one);
    void gather_events();
    void add_gap(std::size_t chunk_number, std::size_t place, std::uint64_t dropped);
    [[nodiscard]] bool full() const;
    [[nodiscard]] bool is_ahead(std::size_t part) const;
    [[nodiscard]] unsigned happened() const;
    void notify(std::unique_lock<std::mutex>& lock, unsigned events);
    bool settle();
    void resume_reading(std::unique_lock<std::mutex>& lock);
    chunk_ptr let_go();
    bool refill();
    bool front_is_used_up();
    void settle_if_due();
    void skip_rest();
    bool pop(message_view_t& out);
    bool pop_shared(item_t& out);
    void take_event(item_t& out);

    const queue_bound_t bound_;
    const bool hands_over_;  // whole chunks go to the consumer; not where the oldest may be dropped
    const std::size_t settle_every_;  // messages taken
    const std::size_t settle_bytes_;
    const std::shared_ptr<ready_list_c> ready_;
    const std::uint64_t number_;
    const bool takes_events_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    // All guarded by mutex_. Counts include what the consumer has taken over and not settled.
    std::deque<chunk_ptr> shared_;
    std::deque<std::shared_ptr<const event_t>> events_;  // of the marks in all chunks, in order
    bool is_incomplete_ = false;                         // what was put in last is not final
    std::int64_t oldest_ns_ = 0;  // Unix time; of what the consumer has taken over, as it said last
    chunk_ptr spare_;             // empty and open
    std::size_t messages_ = 0;    // complete ones
    std::size_t fragments_ = 0;   // entries that others of their message follow
    std::size_t bytes_ = 0;
    std::size_t shared_complete_ = 0;  // complete messages in shared_
    std::uint64_t dropped_ = 0;
    std::uint64_t dropped_before_next_ = 0;
    unsigned armed_ = 0;
    unsigned waiting_ = 0;  // threads
    bool opened_ = false;
    bool closing_ = false;
    bool deaf_ = false;  // the end has begun: nothing is put in any more
    bool ended_ = false;
    bool streaming_ = false;        // written by the consumer only
    bool takes_fragments_ = false;  // streaming, or skipping the rest of a message
    std::weak_ptr<metadata_c> connection_;
    std::atomic<bool> paused_{false};  // written under mutex_
    bool resting_ = false;
    bool is_quick_ = false;         // the consumer came since a rest was last in vain
    std::size_t message_size_ = 0;  // on the wire, the mean of the last read's

    // The consumer's.
    std::deque<chunk_ptr> taken_;
    std::size_t taken_complete_ = 0;  // complete messages in taken_
    std::vector<chunk_ptr> freed_;    // used up; the payload handed out last may lie in the latest
    chunk_ptr current_;               // what Next handed out lies in it, where chunks are shared
    std::string joined_;              // a message of several fragments
    bool in_message_ = false;         // a fragment of it has been handed out
    bool skipping_ = false;           // the rest of it is not wanted
    counter unsettled_messages_;
    std::size_t unsettled_fragments_ = 0;
    counter unsettled_bytes_;
};

}  // namespace wspool
