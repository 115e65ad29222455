#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "wspool/record_batch.hpp"

namespace wspool::json {

/// When and from where rows came: the columns `received` and `connection`. One read brings many
/// rows, so that runs of the same are kept until the batch is finished.
class provenance {
public:
    static constexpr std::uint32_t unknown = static_cast<std::uint32_t>(-1);

    /// `rows` more; 0 for a time and `unknown` for a connection that there is none.
    void push(std::size_t rows, std::int64_t received_ns, std::uint32_t connection) {
        if (!runs_.empty() && runs_.back().received_ns == received_ns &&
            runs_.back().connection == connection)
            runs_.back().rows += rows;
        else
            runs_.push_back({rows, received_ns, connection});
    }
    [[nodiscard]] std::shared_ptr<const column_data_t> received() const;
    /// `labels` says what the numbers of connections mean.
    [[nodiscard]] std::shared_ptr<const column_data_t> connections(
        std::shared_ptr<const column_data_t> labels) const;
    void clear() { runs_.clear(); }

private:
    struct run {
        std::size_t rows;
        std::int64_t received_ns;
        std::uint32_t connection;
    };

    std::vector<run> runs_;
};

}  // namespace wspool::json
