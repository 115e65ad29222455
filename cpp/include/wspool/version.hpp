#pragma once

/// The version of the library, the package and the wheel. pyproject.toml and CMake read it from
/// here.
#define WSPOOL_VERSION "0.1.0"
