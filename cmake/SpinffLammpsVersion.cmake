# Stops at a source tree older than the oldest one that the plugin has been compiled with.
function(spinff_check_lammps_version file)
    set(oldest 20250204)
    set(months Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)
    set(text "no such file")
    if(EXISTS "${file}")
        file(READ "${file}" text)
        string(STRIP "${text}" text)
    endif()
    if(NOT text MATCHES "LAMMPS_VERSION \"([0-9]+) ([A-Z][a-z][a-z])[a-z]* ([0-9]+)\"")
        message(FATAL_ERROR
            "spinff: ${file} does not tell the version of LAMMPS, got '${text}', expected a line like "
            "'#define LAMMPS_VERSION \"22 Jul 2025\"'; give the root of a LAMMPS source tree.")
    endif()
    list(FIND months "${CMAKE_MATCH_2}" month)
    math(EXPR number "${CMAKE_MATCH_3} * 10000 + (${month} + 1) * 100 + ${CMAKE_MATCH_1}")
    set(version "${CMAKE_MATCH_1} ${CMAKE_MATCH_2} ${CMAKE_MATCH_3}")
    if(number LESS oldest)
        message(FATAL_ERROR
            "spinff: the LAMMPS of LAMMPS_SOURCE_DIR is too old, got version ${version}, expected 4 Feb 2025 "
            "(the oldest one that the plugin was compiled with) or later; give a newer source tree.")
    endif()
    message(STATUS "spinff: plugin for LAMMPS ${version} of ${LAMMPS_SOURCE_DIR}")
endfunction()
