#define BUILD "unpatched"
