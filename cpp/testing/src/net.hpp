#pragma once

// Asio takes std::aligned_alloc only where a header of the standard library came before it (it
// looks for a macro of libstdc++'s). Were that so in some files and not in others, memory would be
// allocated one way and freed the other. Hence this order, and no other include of Asio here.
// clang-format off
#include <cstddef>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
// clang-format on
