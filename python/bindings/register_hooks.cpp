/// User code that takes part in a connection besides callbacks: logging and reconnecting.

#include <pybind11/pybind11.h>

#include <atomic>
#include <string>
#include <utility>

#include "connection.hpp"
#include "convert.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "held_object.hpp"
#include "hooks.hpp"
#include "registers.hpp"

namespace py = pybind11;

namespace wspool::python {

namespace {

/// callable(*args); steals `args`, which may be null with an exception set. These functions
/// handle what the user's code raises; this would be a mistake of ours.
void call(PyObject* callable, PyObject* args) {
    PyObject* const result = args == nullptr ? nullptr : PyObject_CallObject(callable, args);
    if (result == nullptr) PyErr_WriteUnraisable(callable);
    Py_XDECREF(result);
    Py_XDECREF(args);
}

class python_log final : public log_c {
public:
    python_log(PyObject* write, int least_level) : write_(write), least_level_(least_level) {}

    [[nodiscard]] bool Wants(level_e level) const noexcept override {
        return static_cast<int>(level) >= least_level_;
    }
    void Write(level_e level, std::string_view topic, const std::string& text) override {
        const gil_lock gil;
        if (!gil) return;
        guarded([&] {
            PyObject* const message = decode_lenient(text);
            call(write_.get(), message == nullptr
                                   ? nullptr
                                   : Py_BuildValue("(is#N)", static_cast<int>(level), topic.data(),
                                                   static_cast<Py_ssize_t>(topic.size()), message));
        });
    }

private:
    const held_object write_;
    const int least_level_;
};

outgoing_t outgoing_from(const py::handle& message) {
    outgoing_t made;
    made.is_text = PyUnicode_Check(message.ptr()) != 0;
    made.payload = message.cast<std::string>();
    return made;
}

/// What Python answers a `Prepare` with; once.
class prepare_ticket {
public:
    explicit prepare_ticket(attempt_source_c::prepared_t answer) : answer_(std::move(answer)) {}
    /// Nobody waits for an answer for ever, not even of one who has lost the ticket.
    ~prepare_ticket() {
        tell(std::make_unique<error_c>(error_e::PREPARATION, "it was given up without an answer"),
             {});
    }
    prepare_ticket(const prepare_ticket&) = delete;
    prepare_ticket& operator=(const prepare_ticket&) = delete;

    void ready(const std::string& uri, const py::list& headers, const py::list& messages,
               const py::object& proxy) {
        attempt_t attempt;
        attempt.uri = uri;
        for (const auto& item : headers) {
            const auto pair = item.cast<py::tuple>();
            attempt.additional_headers.emplace_back(pair[0].cast<std::string>(),
                                                    pair[1].cast<std::string>());
        }
        for (const auto& message : messages) {
            attempt.subscriptions.push_back(outgoing_from(message));
        }
        attempt.proxy = proxy_from(proxy);
        without_gil([&] { tell(nullptr, std::move(attempt)); });
    }
    void fail(const std::string& why) {
        without_gil([&] { tell(std::make_unique<error_c>(error_e::PREPARATION, why), {}); });
    }

private:
    void tell(error_ptr error, attempt_t attempt) {
        if (!told_.exchange(true)) answer_(std::move(error), std::move(attempt));
    }
    attempt_source_c::prepared_t answer_;
    std::atomic<bool> told_{false};
};

class judge_ticket {
public:
    judge_ticket(metadata_c& connection, attempt_source_c::judged_t answer, bool by_default)
        : connection_(connection.shared_from_this()),
          answer_(std::move(answer)),
          by_default_(by_default) {}
    ~judge_ticket() {
        if (!told_.exchange(true)) answer_(by_default_);
    }
    judge_ticket(const judge_ticket&) = delete;
    judge_ticket& operator=(const judge_ticket&) = delete;
    /// Makes `connection` the one that is asked for: whoever makes it may not have come to that.
    void attach(const py::object& connection) {
        if (PyObject_TypeCheck(connection.ptr(), &connection_type) == 0)
            throw py::type_error("connection must be a wspool._core.Connection");
        python::attach(connection.ptr(), connection_);
    }
    void answer(bool again) {
        without_gil([&] {
            if (!told_.exchange(true)) answer_(again);
        });
    }

private:
    const std::shared_ptr<metadata_c> connection_;
    attempt_source_c::judged_t answer_;
    const bool by_default_;
    std::atomic<bool> told_{false};
};

/// A new reference, or null with an exception set.
template <class Ticket>
PyObject* wrap(std::shared_ptr<Ticket> ticket) {
    try {
        return py::cast(std::move(ticket)).release().ptr();
    } catch (py::error_already_set& error) {
        error.restore();
        return nullptr;
    }
}

class python_source final : public attempt_source_c {
public:
    python_source(const py::object& prepare, const py::object& judge) {
        if (!prepare.is_none()) prepare_ = std::make_unique<held_object>(prepare.ptr());
        if (!judge.is_none()) judge_ = std::make_unique<held_object>(judge.ptr());
    }

    [[nodiscard]] bool Prepares() const noexcept override { return prepare_ != nullptr; }
    [[nodiscard]] bool Judges() const noexcept override { return judge_ != nullptr; }

    void Prepare(unsigned attempt, prepared_t answer) override {
        const gil_lock gil;
        if (!gil) return;
        guarded([&] {
            PyObject* const ticket = wrap(std::make_shared<prepare_ticket>(std::move(answer)));
            call(prepare_->get(),
                 ticket == nullptr ? nullptr : Py_BuildValue("(IN)", attempt, ticket));
        });
    }
    void Judge(metadata_c& connection, const error_c& error, bool was_open, bool by_default,
               judged_t answer) override {
        const gil_lock gil;
        if (!gil) return;
        guarded([&] {
            PyObject* const native = error_tuple(error);
            PyObject* const ticket = native == nullptr
                                         ? nullptr
                                         : wrap(std::make_shared<judge_ticket>(
                                               connection, std::move(answer), by_default));
            if (ticket == nullptr) Py_XDECREF(native);
            call(judge_->get(), ticket == nullptr
                                    ? nullptr
                                    : Py_BuildValue("(NOON)", native, was_open ? Py_True : Py_False,
                                                    by_default ? Py_True : Py_False, ticket));
        });
    }

private:
    std::unique_ptr<held_object> prepare_;
    std::unique_ptr<held_object> judge_;
};

}  // namespace

std::shared_ptr<log_c> make_log(const py::object& write, int least_level) {
    return std::make_shared<python_log>(write.ptr(), least_level);
}

std::shared_ptr<attempt_source_c> make_source(const py::object& prepare, const py::object& judge) {
    return std::make_shared<python_source>(prepare, judge);
}

void register_hooks(py::module_& module) {
    py::class_<prepare_ticket, std::shared_ptr<prepare_ticket>>(module, "PrepareTicket")
        .def("ready", &prepare_ticket::ready)
        .def("fail", &prepare_ticket::fail);
    py::class_<judge_ticket, std::shared_ptr<judge_ticket>>(module, "JudgeTicket")
        .def("attach", &judge_ticket::attach)
        .def("answer", &judge_ticket::answer);
}

}  // namespace wspool::python
