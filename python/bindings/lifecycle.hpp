#pragma once

#include <Python.h>

#include <memory>
#include <utility>

#include "wspool/endpoint.hpp"

namespace wspool::python {

/// False once the exit hook has run: then native threads leave Python alone, and what they hold
/// of it is leaked.
[[nodiscard]] bool python_is_usable() noexcept;

[[nodiscard]] PyInterpreterState* main_interpreter() noexcept;

/// Grows by one in the child at each fork. What carries another number belongs to a parent
/// process, whose threads do not exist here: it is neither used nor destroyed.
[[nodiscard]] unsigned process_generation() noexcept;

/// Makes the endpoint known to the exit hook. GIL held.
void remember_endpoint(const std::shared_ptr<endpoint_c>& endpoint);

/// Destroys something that may join the library's threads: without the GIL, not on one of those
/// threads, and not at all after the exit hook or in a child process. GIL held.
void dispose(std::shared_ptr<void> object, unsigned generation) noexcept;

/// A native object, given to `dispose` when its Python object goes.
template <class T>
class owned {
public:
    owned() = default;
    explicit owned(std::shared_ptr<T> object)
        : object_(std::move(object)), generation_(process_generation()) {}
    owned(owned&&) = default;
    owned& operator=(owned&&) = delete;
    ~owned() {
        if (object_) dispose(std::move(object_), generation_);
    }

    /// Null in a child process.
    [[nodiscard]] std::shared_ptr<T> get() const noexcept {
        return generation_ == process_generation() ? object_ : nullptr;
    }

private:
    std::shared_ptr<T> object_;
    unsigned generation_ = 0;
};

}  // namespace wspool::python
