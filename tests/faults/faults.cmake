# What goes wrong outside of the program: bad recipes and texts, damaged files, kills, full disks. Shell scripts that call
# the command as a user does; each makes its own texts, recipe and cache in a temporary folder.
if(NOT TARGET instar-bin)
  return()
endif()
# Sanitizers take ten times as long for a step: fewer of them.
set(fault_environment "${INS_SANITIZER_OPTIONS}")
if(INS_SANITIZE)
  list(APPEND fault_environment INSTAR_FAULT_FEW=1)
endif()
file(GLOB fault_scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/faults/fault_*.sh)
foreach(script IN LISTS fault_scripts)
  get_filename_component(stem ${script} NAME_WE)
  string(REPLACE "fault_" "" stem ${stem})
  add_test(NAME faults/${stem} COMMAND sh ${script} $<TARGET_FILE:instar-bin>)
  set_tests_properties(faults/${stem} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS faults
                                              ENVIRONMENT "${fault_environment}")
  if(stem MATCHES "_long$")
    set_tests_properties(faults/${stem} PROPERTIES TIMEOUT 1800 LABELS "faults;long")
  endif()
endforeach()
