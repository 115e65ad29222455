#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "wspool/sink.hpp"

namespace wspool::runtime {

/// Read buffers of one size, used again once nobody refers to them. A large one is worth it: each
/// read then brings all that waits, and each costs the kernel an acknowledgement and the sender's
/// next segments. Memory that no read ever filled is never touched.
///
/// Thread safety: any thread.
class block_pool : public std::enable_shared_from_this<block_pool> {
public:
    static constexpr std::size_t block_size = 512 * 1024;

    std::shared_ptr<message_block_t> take() {
        std::unique_ptr<message_block_t> block;
        {
            const std::lock_guard lock(mutex_);
            if (!spare_.empty()) {
                block = std::move(spare_.back());
                spare_.pop_back();
            }
        }
        if (!block) {
            block = std::make_unique<message_block_t>();
            block->bytes.reset(new char[block_size]);  // not zeroed
            block->size = block_size;
        }
        return {block.release(), give_back{weak_from_this()}};
    }

private:
    // What a consumer works on and what waits for it while the loop reads on.
    static constexpr std::size_t most_spare = 4;

    struct give_back {
        std::weak_ptr<block_pool> pool;

        void operator()(message_block_t* pointer) const {
            std::unique_ptr<message_block_t> block(pointer);
            if (const auto home = pool.lock()) home->put(std::move(block));
        }
    };

    void put(std::unique_ptr<message_block_t> block) {
        block->messages.clear();
        const std::lock_guard lock(mutex_);
        if (spare_.size() < most_spare) spare_.push_back(std::move(block));
    }

    std::mutex mutex_;
    std::vector<std::unique_ptr<message_block_t>> spare_;
};

}  // namespace wspool::runtime
