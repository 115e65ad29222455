#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "wspool/export.hpp"
#include "wspool/fields.hpp"
#include "wspool/message_view.hpp"
#include "wspool/record_batch.hpp"

namespace wspool {

/// Picks fields out of messages, one after the other, and gathers them in columns.
///
/// Thread safety: one thread at a time.
class WSPOOL_API record_picker_c {
public:
    enum class outcome_e {
        MATCHED,    ///< at least one of the fields; maybe without a row
        UNMATCHED,  ///< JSON, but none of them
        NOT_JSON,
    };
    static constexpr std::uint32_t no_connection = static_cast<std::uint32_t>(-1);

    explicit record_picker_c(std::shared_ptr<const field_set_c> fields);
    ~record_picker_c();
    record_picker_c(const record_picker_c&) = delete;
    record_picker_c& operator=(const record_picker_c&) = delete;

    /// What the column `connection` says for a connection; its number for `Pick`.
    std::uint32_t Add_connection(std::string_view label);
    /// Nothing of the message is kept but what was picked. Throws std::bad_alloc, and
    /// std::length_error above 2 GiB of text in a column; then what was gathered is lost.
    outcome_e Pick(const message_view_t& message, std::uint32_t connection = no_connection);

    /// Rows gathered for the `number`th of the fields.
    [[nodiscard]] std::size_t Rows(std::size_t number) const noexcept;
    /// Their texts and lists in bytes, about. Whoever lets them grow must finish before 1 GiB.
    [[nodiscard]] std::size_t Bytes(std::size_t number) const noexcept;
    /// Mistakes in values that were gathered.
    [[nodiscard]] std::size_t Mistakes(std::size_t number) const noexcept;
    /// Hands out what was gathered, and begins anew. Throws std::bad_alloc.
    std::shared_ptr<const record_batch_t> Finish(std::size_t number);

private:
    class impl;
    const std::unique_ptr<impl> impl_;
};

}  // namespace wspool
