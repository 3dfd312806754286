import { mount } from "../app"
import { arrive, invited } from "../arrival"
import { Dashboard } from "./Dashboard"

const invitation = invited()
mount(<Dashboard invitation={invitation} arrival={invitation ? undefined : await arrive()} />)
