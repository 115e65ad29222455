#include "records.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "convert.hpp"

#include <datetime.h>  // wants Python.h before it

namespace py = pybind11;

namespace wspool::python {
namespace {

__extension__ using int128 = __int128;
__extension__ using uint128 = unsigned __int128;

template <class T>
T load(const byte_store_c& store, std::size_t number) {
    T value;
    std::memcpy(&value, store.Data() + number * sizeof value, sizeof value);
    return value;
}

bool bit(const byte_store_c& store, std::size_t number) {
    return ((static_cast<unsigned char>(store.Data()[number / 8]) >> (number % 8)) & 1U) != 0;
}

std::string_view text_at(const column_data_t& column, std::size_t row) {
    const auto begin = load<std::int32_t>(column.offsets, row);
    const auto end = load<std::int32_t>(column.offsets, row + 1);
    return {column.values.Data() + begin, static_cast<std::size_t>(end - begin)};
}

/// Digits with the point where it belongs.
std::string decimal_text(int128 value, std::size_t scale) {
    const bool negative = value < 0;
    auto left = static_cast<uint128>(value);
    if (negative) left = ~left + 1;
    std::string digits;
    do {
        digits += static_cast<char>('0' + static_cast<int>(left % 10));
        left /= 10;
    } while (left != 0 || digits.size() <= scale);
    if (scale != 0) digits.insert(scale, 1, '.');
    if (negative) digits += '-';
    std::reverse(digits.begin(), digits.end());
    return digits;
}

PyObject* make_decimal(int128 value, std::size_t scale) {
    static PyObject* type = nullptr;
    if (type == nullptr) {
        PyObject* const module = PyImport_ImportModule("decimal");
        if (module == nullptr) return nullptr;
        type = PyObject_GetAttrString(module, "Decimal");
        Py_DECREF(module);
        if (type == nullptr) return nullptr;
    }
    return PyObject_CallFunction(type, "s", decimal_text(value, scale).c_str());
}

std::int64_t floor_divide(std::int64_t value, std::int64_t divisor) {
    return value / divisor - (value % divisor < 0 ? 1 : 0);
}

struct date_t {
    std::int64_t year;
    int month;
    int day;
};

/// The date so many days after 1970-01-01, in the Gregorian calendar.
date_t date_of(std::int64_t days) {
    days += 719'468;  // since the first of March of the year 0
    const std::int64_t era = floor_divide(days, 146'097);
    const std::int64_t of_era = days - era * 146'097;
    const std::int64_t year = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
    const std::int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    const std::int64_t from_march = (5 * of_year + 2) / 153;
    const auto month = static_cast<int>(from_march < 10 ? from_march + 3 : from_march - 9);
    return {year + era * 400 + (month <= 2 ? 1 : 0), month,
            static_cast<int>(of_year - (153 * from_march + 2) / 5 + 1)};
}

/// A datetime without a zone, in UTC. What datetime cannot say, years after 9999, is the number.
PyObject* make_datetime(std::int64_t value, time_unit_e unit) {
    std::int64_t per_second = 1;
    for (auto power = static_cast<int>(unit); power > 0; --power) per_second *= 10;
    const std::int64_t seconds = floor_divide(value, per_second);
    const std::int64_t fraction = value - seconds * per_second;
    const std::int64_t days = floor_divide(seconds, 86'400);
    const auto of_day = static_cast<int>(seconds - days * 86'400);
    constexpr std::int64_t most_days = 4'000'000;
    const date_t date = date_of(std::clamp<std::int64_t>(days, -most_days, most_days));
    if (date.year < 1 || date.year > 9999) return PyLong_FromLongLong(value);
    constexpr std::int64_t million = 1'000'000;
    const std::int64_t us = per_second > million ? fraction / (per_second / million)
                                                 : fraction * (million / per_second);
    return PyDateTime_FromDateAndTime(static_cast<int>(date.year), date.month, date.day,
                                      of_day / 3600, of_day / 60 % 60, of_day % 60,
                                      static_cast<int>(us));
}

PyObject* make_list(const column_data_t& items, std::int32_t begin, std::int32_t end) {
    PyObject* const list = PyList_New(end - begin);
    if (list == nullptr) return nullptr;
    for (std::int32_t i = begin; i < end; ++i) {
        PyObject* const value = value_at(items, static_cast<std::size_t>(i));
        if (value == nullptr) {
            Py_DECREF(list);
            return nullptr;
        }
        PyList_SET_ITEM(list, i - begin, value);
    }
    return list;
}

bool have_datetime() {
    if (PyDateTimeAPI == nullptr) PyDateTime_IMPORT;
    return PyDateTimeAPI != nullptr;
}

}  // namespace

PyObject* value_at(const column_data_t& column, std::size_t row) {
    if (column.Is_null(row)) Py_RETURN_NONE;
    switch (column.type.kind) {
        case column_kind_e::INT64:
            return PyLong_FromLongLong(load<std::int64_t>(column.values, row));
        case column_kind_e::UINT64:
            return PyLong_FromUnsignedLongLong(load<std::uint64_t>(column.values, row));
        case column_kind_e::FLOAT64:
            return PyFloat_FromDouble(load<double>(column.values, row));
        case column_kind_e::BOOL:
            return PyBool_FromLong(bit(column.values, row) ? 1 : 0);
        case column_kind_e::STRING:
        case column_kind_e::JSON:
            return make_text(text_at(column, row));
        case column_kind_e::CATEGORY:
            return make_text(text_at(*column.dictionary, load<std::uint32_t>(column.values, row)));
        case column_kind_e::DECIMAL128:
            return make_decimal(load<int128>(column.values, row), column.type.scale);
        case column_kind_e::TIMESTAMP:
            if (!have_datetime()) return nullptr;
            return make_datetime(load<std::int64_t>(column.values, row), column.type.unit);
        case column_kind_e::LIST:
            return make_list(*column.items, load<std::int32_t>(column.offsets, row),
                             load<std::int32_t>(column.offsets, row + 1));
    }
    PyErr_SetString(PyExc_SystemError, "unknown type of column");
    return nullptr;
}

py::list column_to_list(const column_data_t& column, std::size_t most) {
    const std::size_t count = std::min(most, column.length);
    py::list list(count);
    if (column.type.kind == column_kind_e::CATEGORY && column.dictionary) {
        // Equal values are one object.
        const py::list texts = column_to_list(*column.dictionary);
        for (std::size_t row = 0; row < count; ++row) {
            if (column.Is_null(row))
                list[row] = py::none();
            else
                list[row] = texts[load<std::uint32_t>(column.values, row)];
        }
        return list;
    }
    for (std::size_t row = 0; row < count; ++row) {
        PyObject* const value = value_at(column, row);
        if (value == nullptr) throw py::error_already_set();
        PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(row), value);
    }
    return list;
}

PyObject* row_as_tuple(const record_batch_t& batch, std::size_t row) {
    const std::size_t count = batch.mistakes.size();
    PyObject* const tuple = PyTuple_New(static_cast<Py_ssize_t>(count));
    if (tuple == nullptr) return nullptr;
    for (std::size_t i = 0; i < count; ++i) {
        PyObject* const value = value_at(*batch.columns[i], row);
        if (value == nullptr) {
            Py_DECREF(tuple);
            return nullptr;
        }
        PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), value);
    }
    return tuple;
}

}  // namespace wspool::python
