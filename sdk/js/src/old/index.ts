// What the classic script gives to pages: `TidewireSource`, and an `EventSource` where there is none.

import { TidewireSource } from "../source";

const scope: any = self;
scope.TidewireSource = TidewireSource;
if (!scope.EventSource) scope.EventSource = TidewireSource;
