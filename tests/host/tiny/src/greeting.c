#include "../common/build-info.h"
const char *greeting(void) { return "hello"; }
const char *build(void) { return BUILD; }
