import { mount } from "../app"
import { Shell } from "../Shell"
import { Overview } from "./Overview"

mount(
  <Shell title="Dashboard">
    <Overview />
  </Shell>,
)
