#include "json/provenance.hpp"

#include <cstring>
#include <limits>
#include <utility>

#include "json/column.hpp"

namespace wspool::json {
namespace {

template <class T>
void fill(byte_store_c& values, T value, std::size_t times) {
    char* to = values.Extend(times * sizeof value);
    for (; times != 0; --times, to += sizeof value) std::memcpy(to, &value, sizeof value);
}

}  // namespace

std::shared_ptr<const column_data_t> provenance::received() const {
    auto made = std::make_shared<column_data_t>();
    made->type.kind = column_kind_e::TIMESTAMP;
    validity valid;
    constexpr auto null = std::numeric_limits<std::int64_t>::min();
    for (const run& one : runs_) {
        fill(made->values, one.received_ns == 0 ? null : one.received_ns, one.rows);
        for (std::size_t i = 0; i < one.rows; ++i) valid.push(one.received_ns != 0);
    }
    valid.finish(*made);
    return made;
}

std::shared_ptr<const column_data_t> provenance::connections(
    std::shared_ptr<const column_data_t> labels) const {
    auto made = std::make_shared<column_data_t>();
    made->type.kind = column_kind_e::CATEGORY;
    validity valid;
    for (const run& one : runs_) {
        fill(made->values, one.connection == unknown ? 0 : one.connection, one.rows);
        for (std::size_t i = 0; i < one.rows; ++i) valid.push(one.connection != unknown);
    }
    valid.finish(*made);
    made->dictionary = std::move(labels);
    return made;
}

}  // namespace wspool::json
